"""Attributes of documents, and the SQL condition on them that a parsed filter means.

A document has one attribute (field, text, number) for each value in its metadata. Nested fields are joined with dots.
Each member of a list is a value of its own; null is no value. `text` is the value as it is written. `number` is set for
numbers and for strings that look like one, as cells of CSV may. It is a 64-bit float, so integers of more than
15 digits can only be distinguished as text: `id = "9007199254740993"`.
"""

import json
import math
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from hpdsearch.catalog.dates import DateSpan, bound_texts, parse_moment
from hpdsearch.catalog.filter_parser import NUMBER
from hpdsearch.catalog.filter_tree import TEXT_OPS, Both, Either, Field, Filter, Literal, Member, Not, Op, OwnField
from hpdsearch.catalog.patterns import literal_prefix, matches_pattern

Attribute: TypeAlias = tuple[str, str, float | None]  # field, text, number
Condition: TypeAlias = tuple[str, list[Any]]  # SQL, its parameters

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
        yield field, value, parse_number(value)
    elif isinstance(value, bool):
        yield field, json.dumps(value), None
    elif value is not None:
        yield field, json.dumps(value), _to_float(value)


def parse_number(text: str) -> float | None:
    """Return the number of a text that is written like one; None: it is not."""
    number = text.strip()  # float() strips fewer kinds of space
    return _to_float(number) if _NUMERIC.fullmatch(number) else None


def _to_float(number: float | str) -> float:
    """Return float(number); an integer beyond its range becomes infinite, as a string of the same digits does."""
    try:
        return float(number) + 0.0  # SQLite has no -0.0
    except OverflowError:
        return math.copysign(math.inf, 1 if int(number) > 0 else -1)


def register_functions(connection: sqlite3.Connection) -> None:
    """Make the functions that conditions of filters call known to a connection."""
    connection.create_function("hpd_number", 1, parse_number, deterministic=True)
    connection.create_function("hpd_moment", 1, parse_moment, deterministic=True)
    connection.create_function("hpd_like", 2, matches_pattern, deterministic=True)


def to_sql(tree: Filter, *, negated: bool = False) -> Condition:
    """Return an SQL condition on documents over attributes(field, text, number, doc), and its parameters.

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
    return _document_condition(tree.field, value_condition(tree.field, tree.op, tree.value), negated)


def _member_condition(field: Field, values: tuple[Literal, ...], negated: bool) -> Condition:
    """Return the condition that a value of the field equals one of these; for null, that it has no value."""
    literals = [json.dumps(value) if isinstance(value, bool) else value for value in values]
    found: list[Condition] = []
    for column, some in (
        (text_column(field), [literal for literal in literals if isinstance(literal, str)]),
        (number_column(field), [literal for literal in literals if isinstance(literal, float)]),
    ):
        if some:
            named, name = name_condition(field)
            equal = f"{named} AND {column} IN ({','.join('?' * len(some))})", [*name, *some]
            found.append(_document_condition(field, equal, negated))
    for literal in literals:
        if isinstance(literal, DateSpan):
            found.append(_document_condition(field, value_condition(field, Op.EQ, literal), negated))
    if None in literals:
        found.append(_null_condition(field, negated))
    sql = (" AND " if negated else " OR ").join(condition for condition, _ in found)
    return sql, [parameter for _, parameters in found for parameter in parameters]


def text_column(field: Field) -> str:
    """Return the SQL expression of a value's text."""
    return f"documents.{field.value}" if isinstance(field, OwnField) else "text"


def number_column(field: Field) -> str:
    """Return the SQL expression of a value's number, NULL if it is not written like one."""
    return f"hpd_number(documents.{field.value})" if isinstance(field, OwnField) else "number"


def name_condition(field: Field) -> Condition:
    """Return the condition that a value is one of the field."""
    return (f"{text_column(field)} <> ''", []) if isinstance(field, OwnField) else ("field = ?", [field])


def value_condition(field: Field, op: Op, value: Literal) -> Condition:
    """Return the condition that a value is one of the field and compares as wanted."""
    if isinstance(value, DateSpan):
        return _date_condition(field, op, value)
    named, name = name_condition(field)
    if op in TEXT_OPS:
        sql, parameters = _text_condition(text_column(field), op, str(value))
        return f"{named} AND {sql}", [*name, *parameters]
    column = text_column(field) if isinstance(value, str) else number_column(field)
    return f"{named} AND {column} {op.value} ?", [*name, value]


def _date_condition(field: Field, op: Op, span: DateSpan) -> Condition:
    """Return the condition on a date; the bounds on its text let SQLite use its index.

    The text of a year beyond 9999 or before 0 begins with a sign.
    """
    text = text_column(field)
    low, high = bound_texts(span)
    moment = f"hpd_moment({text})"
    compared, parameters, bounds = {
        Op.EQ: (f"{moment} BETWEEN ? AND ?", [span.first, span.last], (low, high)),
        Op.LT: (f"{moment} < ?", [span.first], ("0", high)),
        Op.LE: (f"{moment} <= ?", [span.last], ("0", high)),
        Op.GT: (f"{moment} > ?", [span.last], (low, ":")),
        Op.GE: (f"{moment} >= ?", [span.first], (low, ":")),
    }[op]
    # SQLite uses its index for both ranges only if each of them names the field.
    named, name = name_condition(field)
    written = f"{named} AND {text} >= ? AND {text} < ?"
    signed = f"{named} AND {text} >= '+' AND {text} < '.'"  # "+" and "-" sort before "."
    return f"({written} OR {signed}) AND {compared}", [*name, *bounds, *name, *parameters]


def _text_condition(text: str, op: Op, value: str) -> Condition:
    if op is Op.CONTAINS:
        return f"instr({text}, ?) > 0", [value]
    prefix = value if op is Op.STARTS_WITH else literal_prefix(value)
    sql = f"{text} >= ?"
    parameters = [prefix]
    if after := _text_after(prefix):
        sql += f" AND {text} < ?"
        parameters.append(after)
    if op is Op.LIKE:
        sql += f" AND hpd_like({text}, ?)"
        parameters.append(value)
    return sql, parameters


def _text_after(prefix: str) -> str:
    """Return the first string behind all that begin with the prefix, in the order of code points; "": there is none."""
    start = prefix.rstrip(chr(sys.maxunicode))
    if not start:
        return ""
    following = ord(start[-1]) + 1
    return start[:-1] + chr(0xE000 if following == 0xD800 else following)  # UTF-8 has no surrogates


def _null_condition(field: Field, negated: bool) -> Condition:
    """Return the condition that the field has no value; an object has those of its fields."""
    if isinstance(field, OwnField):
        return f"{text_column(field)} {'<>' if negated else '='} ''", []
    values = "SELECT doc FROM attributes WHERE field = ? UNION ALL SELECT doc FROM attributes WHERE {}"
    sql = f"documents.doc {'' if negated else 'NOT '}IN ({values.format(IS_INSIDE)})"
    return sql, [field, *inside(field)]


IS_INSIDE = "field > ? AND field < ?"  # parameters: `inside`


def inside(field: str) -> tuple[str, str]:
    """Return the names between which the fields of an object sort."""
    return f"{field}.", f"{field}/"  # "/" follows "."


def _document_condition(field: Field, condition: Condition, negated: bool) -> Condition:
    """Return the condition that a value of the document meets a condition."""
    sql, parameters = condition
    if isinstance(field, OwnField):
        return (f"({sql}) IS NOT TRUE" if negated else sql), parameters
    return f"documents.doc {'NOT ' * negated}IN (SELECT doc FROM attributes WHERE {sql})", parameters
