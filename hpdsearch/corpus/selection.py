"""The fields of a record that are read: nested fields by dots, `columns` and `exclude_columns`."""

from collections.abc import Collection, Iterable
from typing import Any

from hpdsearch.corpus.options import ReadOptions
from hpdsearch.errors import CorpusError

MISSING = object()


def find_path(record: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return the keys that lead to a field, such as ("body", "text") for "body.text"; () if it is missing.

    A field that is literally named so comes first.
    """
    if name in record:
        return (name,)
    for i, character in enumerate(name):
        if character == "." and isinstance(inner := record.get(name[:i]), dict):
            rest = find_path(inner, name[i + 1 :])
            if rest:
                return (name[:i], *rest)
    return ()


def is_in_null(record: dict[str, Any], name: str) -> bool:
    """Return whether a name leads into a field that is null: "body.text" if "body" is null."""
    for i, character in enumerate(name):
        if character == "." and (path := find_path(record, name[:i])):
            value: Any = record
            for key in path:
                value = value[key]
            if value is None:
                return True
    return False


def pop_field(record: dict[str, Any], name: str) -> Any:
    """Remove a field from a record and return its value, or MISSING; an object that becomes empty is removed too.

    A field of a null object is null.
    """
    if name in record:
        return record.pop(name)
    path = find_path(record, name)
    if not path:
        return None if "." in name and is_in_null(record, name) else MISSING
    parents = [record]
    for key in path[:-1]:
        parents.append(parents[-1][key])
    value = parents[-1].pop(path[-1])
    for parent, key in zip(reversed(parents[:-1]), reversed(path[:-1]), strict=True):
        if not parent[key]:
            del parent[key]
    return value


def select_fields(record: dict[str, Any], options: ReadOptions, seen: set[str]) -> dict[str, Any]:
    """Return the record with the fields that are read; the record is changed.

    Args:
        record: a JSON object.
        options: `columns` or `exclude_columns` name the fields.
        seen: the names that some record has had; new ones are added.
    """
    for name in options.exclude_columns:
        if pop_field(record, name) is not MISSING:
            seen.add(name)
    if not options.columns:
        return record
    kept: dict[str, Any] = {}
    for name in list_wanted(options):
        path = find_path(record, name)
        if not path:
            continue
        seen.add(name)
        source = record
        target = kept
        for key in path[:-1]:
            source = source[key]
            target = target.setdefault(key, {})
        target[path[-1]] = source[path[-1]]
    return kept


def list_wanted(options: ReadOptions) -> tuple[str, ...]:
    """Return `columns` and the fields of id, text and title, which are always read."""
    fields = options.fields
    ids = ("id", "_id") if fields.id_field is None else (fields.id_field,)
    return (*options.columns, *ids, fields.text_field, fields.title_field)


def require_columns(names: Collection[str], options: ReadOptions, where: str) -> None:
    """Check that a table or a file has the fields that `columns` or `exclude_columns` name.

    Raises:
        CorpusError: one of them is missing.
    """
    for option, wanted in (("--columns", options.columns), ("--exclude-columns", options.exclude_columns)):
        missing = [name for name in wanted if name not in names]
        if missing:
            raise CorpusError(f'{where}: expected a field "{missing[0]}" ({option}), got {list_fields(names)}')


def list_fields(names: Iterable[str]) -> str:
    """List field names, for a message."""
    shown = ", ".join(names)
    return f"the fields {shown}" if shown else "no fields"
