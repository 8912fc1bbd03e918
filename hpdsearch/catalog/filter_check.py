"""Check a parsed filter against a catalog: each field exists, and each comparison can match a value of its field.

A comparison that can never match is an error, as an unknown field is, because a search that finds nothing does not say
why. An index that grows may get such values later; the filter is then valid.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from hpdsearch.catalog.dates import DateSpan, parse_moment
from hpdsearch.catalog.filter_parser import error_at
from hpdsearch.catalog.filter_sql import (
    IS_INSIDE,
    Condition,
    inside,
    name_condition,
    number_column,
    parse_number,
    text_column,
    value_condition,
)
from hpdsearch.catalog.filter_tree import (
    OWN_FIELDS,
    TEXT_OPS,
    Both,
    Comparison,
    Either,
    Field,
    Filter,
    Literal,
    Member,
    Not,
    Op,
    OwnField,
)
from hpdsearch.catalog.patterns import literal_characters
from hpdsearch.common.files import parse_json

Select: TypeAlias = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]  # SQL, parameters -> rows


class SelectFromAll:
    """Reads several catalogs as if they were one: their rows follow one another.

    Attributes:
        each: reads one of the catalogs.
    """

    def __init__(self, each: Sequence[Select]) -> None:
        """Take the functions that read the catalogs."""
        self.each = each

    def __call__(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of all catalogs."""
        return [row for select in self.each for row in select(sql, parameters)]


_OF_NUMBERS = frozenset("0123456789+-.eE")  # and white space
_OF_BOOLEANS = frozenset("truefalse")


def check_filter(where: str, tree: Filter, select: Select) -> Filter:
    """Return the filter with its fields resolved: a name is that of a metadata field, else that of an own field.

    Args:
        where: the text of the filter.
        tree: the parsed filter.
        select: reads the catalog.

    Raises:
        FilterError: a field does not exist, or a comparison can never match.
    """
    if isinstance(tree, Not):
        return Not(check_filter(where, tree.inner, select))
    if isinstance(tree, (Both, Either)):
        return type(tree)(tuple(check_filter(where, operand, select) for operand in tree.operands))
    resolved = replace(tree, field=_resolve_field(where, tree, select))
    # Ten thousand members of a list need a few types only, and each type is looked for once.
    required = {
        _required_kind(resolved.field, op, value): position for op, value, position in reversed(_list_literals(tree))
    }
    for (kind, condition), position in reversed(required.items()):
        if condition and not (
            _has_value(resolved.field, (condition, []), select) or _matches_as_text(resolved, select)
        ):
            raise error_at(where, position, _describe_mismatch(resolved.field, kind, select))
    return resolved


def _list_literals(comparison: Comparison | Member) -> list[tuple[Op, Literal, int]]:
    """Return each operator, its literal and the literal's position."""
    if isinstance(comparison, Comparison):
        return [(comparison.op, comparison.value, comparison.value_position)]
    return [
        (Op.EQ, value, position) for value, position in zip(comparison.values, comparison.value_positions, strict=True)
    ]


def _matches_as_text(comparison: Comparison | Member, select: Select) -> bool:
    """Tell whether the text of a number or a boolean matches a string, as `5 < "abc"` does."""
    if isinstance(comparison, Member) or comparison.op in (Op.EQ, Op.NE) or not isinstance(comparison.value, str):
        return False
    return _has_value(comparison.field, value_condition(comparison.field, comparison.op, comparison.value), select)


def _resolve_field(where: str, comparison: Comparison | Member, select: Select) -> Field:
    field = comparison.field
    if isinstance(field, OwnField) or _has_value(field, ("TRUE", []), select):
        return field
    only_null = _compares_with_null_only(comparison)
    if members := select(f"SELECT DISTINCT field FROM attributes WHERE {IS_INSIDE} LIMIT 20", inside(field)):
        if only_null:
            return field
        names = ", ".join(dict.fromkeys(name for (name,) in members))
        raise error_at(where, comparison.position, f"{field!r} is an object; compare one of its fields: {names}")
    if field in OWN_FIELDS:
        return OWN_FIELDS[field]
    if not _is_stored_empty(field, select):
        raise error_at(where, comparison.position, f"no document has a field {field!r}; fields: {_list_fields(select)}")
    return field


def _compares_with_null_only(comparison: Comparison | Member) -> bool:
    values = comparison.values if isinstance(comparison, Member) else (comparison.value,)
    return all(value is None for value in values)


def _list_fields(select: Select) -> str:
    return ", ".join([*field_names(select), "@id", "@title", "@text", "@source"])


def field_names(select: Select) -> list[str]:
    """Return the names of the metadata fields that have a value, sorted."""
    step = "SELECT (SELECT min(field) FROM attributes WHERE field > name) FROM names WHERE name IS NOT NULL"
    query = f"WITH RECURSIVE names(name) AS (SELECT min(field) FROM attributes UNION ALL {step}) SELECT name FROM names"
    return sorted({name for (name,) in select(query, ()) if name is not None})


def _is_stored_empty(field: str, select: Select) -> bool:
    """Tell whether a document has the field with null, an empty list or an empty object as its value."""
    if isinstance(select, SelectFromAll):
        return any(_is_stored_empty(field, each) for each in select.each)
    last = json.dumps(field.rpartition(".")[2], ensure_ascii=False)[1:] + ":"
    sql = "SELECT doc, metadata FROM documents WHERE doc > ? AND instr(metadata, ?) > 0 ORDER BY doc LIMIT 500"
    after = -1
    while found := select(sql, (after, last)):
        if any(field in _iter_names("", parse_json(metadata)) for _, metadata in found):
            return True
        after = found[-1][0]
    return False


def _iter_names(name: str, value: Any) -> Iterator[str]:
    """Yield the names of a value's fields, whatever they hold."""
    if isinstance(value, dict):
        for key, inner in value.items():
            path = f"{name}.{key}" if name else str(key)
            yield path
            yield from _iter_names(path, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _iter_names(name, inner)


def _describe_mismatch(field: Field, kind: str, select: Select) -> str:
    name = f"@{field.name.lower()}" if isinstance(field, OwnField) else field
    example = _find_value(field, ("TRUE", []), select)
    if example is None:
        return f"{name!r} has no value in any document; it can only be compared with null"
    return f"no value of {name!r} is {kind}; compare it with a literal like {_write_literal(example)}"


def _required_kind(field: Field, op: Op, value: Literal) -> tuple[str, str]:
    """Return the type of a literal in words, and the SQL condition that a value must meet to be compared with it.

    The condition of null is empty: it needs no value.
    """
    text = text_column(field)
    number = number_column(field)
    if value is None:
        return "null", ""
    if isinstance(value, bool):
        return "true or false", f"{text} IN ('true', 'false')"
    if isinstance(value, float):
        return "a number", f"{number} IS NOT NULL"
    if isinstance(value, DateSpan):
        return "a date", f"{text} >= '+' AND {text} < ':' AND hpd_moment({text}) IS NOT NULL"
    excluded: list[str] = []
    if not _fits_numbers(op, value):
        excluded.append(f"{number} IS NULL")
    if not _fits_booleans(op, value):
        excluded.append(f"{text} NOT IN ('true', 'false')")
    return "a text like this", " AND ".join(excluded) or "TRUE"


def _fits_numbers(op: Op, value: str) -> bool:
    """Tell whether the text of a number may match a comparison with a string."""
    if op in (Op.EQ, Op.NE):
        return parse_number(value) is not None
    return all(character in _OF_NUMBERS or character.isspace() for character in _significant_characters(op, value))


def _fits_booleans(op: Op, value: str) -> bool:
    """Tell whether the text of a boolean may match a comparison with a string."""
    if op in (Op.EQ, Op.NE):
        return value in ("true", "false")
    return set(_significant_characters(op, value)) <= (_OF_BOOLEANS if op in TEXT_OPS else {"t", "f"})


def _significant_characters(op: Op, value: str) -> str:
    """Return the characters that a value of the field must have; for an order, the first is taken."""
    if op is Op.LIKE:
        return literal_characters(value)
    return value if op in TEXT_OPS else value[:1]


def _has_value(field: Field, condition: Condition, select: Select) -> bool:
    return _find_value(field, condition, select) is not None


def _find_value(field: Field, condition: Condition, select: Select) -> tuple[str, float | None] | None:
    """Return the text and the number of a value that meets a condition."""
    named, name = name_condition(field)
    sql, parameters = condition
    table = "documents" if isinstance(field, OwnField) else "attributes"
    columns = f"{text_column(field)}, {number_column(field)}"
    found = select(f"SELECT {columns} FROM {table} WHERE {named} AND {sql} LIMIT 1", [*name, *parameters])
    return found[0] if found else None


def _write_literal(value: tuple[str, float | None]) -> str:
    """Return the literal that equals a value."""
    text, number = value
    if number is not None or text in ("true", "false") or (" " not in text and parse_moment(text)):
        return text
    return json.dumps(text[:40], ensure_ascii=False)
