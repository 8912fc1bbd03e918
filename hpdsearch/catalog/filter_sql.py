"""Attributes of documents, and the SQL condition on them that a parsed filter means.

A document has one attribute (field, text, number) for each value in its metadata. Nested fields are joined with dots.
Each member of a list is a value of its own; null is no value. `text` is the value as it is written. `number` is set for
numbers and for strings that look like one, as cells of CSV may. It is a 64-bit float, so integers of more than
15 digits can only be distinguished as text: `id = "9007199254740993"`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from hpdsearch.catalog.filter_parser import NUMBER, Both, Either, Filter, Literal, Member, Not, Op

Attribute: TypeAlias = tuple[str, str, float | None]  # field, text, number

_NUMERIC = re.compile(NUMBER)


def flatten_metadata(metadata: Mapping[str, Any]) -> list[Attribute]:
    """Return the distinct attributes of one document, sorted by field and text."""
    return sorted(set(_flatten("", metadata)), key=lambda attribute: attribute[:2])


def _flatten(field: str, value: Any) -> Iterator[Attribute]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(f"{field}.{key}" if field else str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flatten(field, inner)
    elif isinstance(value, str):
        number = value.strip()  # float() strips fewer kinds of space
        yield field, value, _to_float(number) if _NUMERIC.fullmatch(number) else None
    elif isinstance(value, bool):
        yield field, json.dumps(value), None
    elif value is not None:
        yield field, json.dumps(value), _to_float(value)


def _to_float(number: float | str) -> float:
    """Return float(number); an integer beyond its range becomes infinite, as a string of the same digits does."""
    try:
        return float(number) + 0.0  # SQLite has no -0.0
    except OverflowError:
        return math.copysign(math.inf, 1 if int(number) > 0 else -1)


def to_sql(tree: Filter, *, negated: bool = False) -> tuple[str, list[Any]]:
    """Return an SQL condition on documents.doc over attributes(field, text, number, doc), and its parameters.

    Args:
        tree: the filter.
        negated: match the documents that the filter does not match.
    """
    if isinstance(tree, Not):
        return to_sql(tree.inner, negated=not negated)
    if isinstance(tree, (Both, Either)):
        operator = "AND" if isinstance(tree, Both) is not negated else "OR"
        conditions = [to_sql(operand, negated=negated) for operand in tree.operands]
        sql = f" {operator} ".join(f"({condition})" for condition, _ in conditions)
        return sql, [parameter for _, parameters in conditions for parameter in parameters]
    if isinstance(tree, Member):
        return _member_condition(tree.field, tree.values, negated)
    if tree.op in (Op.EQ, Op.NE):
        return _member_condition(tree.field, (tree.value,), negated is not (tree.op is Op.NE))
    column = "text" if isinstance(tree.value, str) else "number"
    return _document_condition(f"{column} {tree.op.value} ?", negated), [tree.field, tree.value]


def _member_condition(field: str, values: tuple[Literal, ...], negated: bool) -> tuple[str, list[Any]]:
    """Return the condition that an attribute of the field equals one of the values; for null, that there is none."""
    literals = [json.dumps(value) if isinstance(value, bool) else value for value in values]
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, some in (
        ("text", [literal for literal in literals if isinstance(literal, str)]),
        ("number", [literal for literal in literals if isinstance(literal, float)]),
    ):
        if some:
            conditions.append(_document_condition(f"{column} IN ({','.join('?' * len(some))})", negated))
            parameters += [field, *some]
    if None in literals:
        conditions.append(_document_condition("TRUE", not negated))
        parameters.append(field)
    return (" AND " if negated else " OR ").join(conditions), parameters


def _document_condition(condition: str, negated: bool) -> str:
    return f"documents.doc {'NOT ' * negated}IN (SELECT doc FROM attributes WHERE field = ? AND {condition})"
