"""One record of named values (a JSON object, a CSV or Parquet row) -> one Document."""

from collections.abc import Collection
from typing import Any

from hpdsearch.corpus.options import Fields
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

JSON_NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def find_id_field(names: Collection[str], fields: Fields, where: str) -> str | None:
    """Return the name of the field that holds the doc_id; None if the record has none and the user named none."""
    if fields.id_field is not None:
        if fields.id_field not in names:
            raise CorpusError(f'{where}: expected a field "{fields.id_field}" for the doc_id, got {listed(names)}')
        return fields.id_field
    if "id" in names:
        if "_id" in names:
            raise CorpusError(f'{where}: expected "id" or "_id", got both; say which one is the doc_id (id_field)')
        return "id"
    return "_id" if "_id" in names else None


def check_header(names: list[str], fields: Fields, where: str) -> None:
    """Refuse the column names of a table that lack a field the user asked for, or hold a name twice."""
    for name in names:
        if names.count(name) > 1:
            raise CorpusError(f'{where}: expected column names that differ, got "{name}" twice')
    wanted: list[tuple[str, str | None]] = [("id_field", fields.id_field), ("text_field", fields.text_field)]
    if fields.title_is_required:
        wanted.append(("title_field", fields.title_field))
    for option, field in wanted:
        if field is not None and field not in names:
            raise CorpusError(f'{where}: expected a column "{field}" ({option}), got {listed(names)}')
    find_id_field(names, fields, where)


def to_document(record: dict[str, Any], id_field: str | None, fields: Fields, where: str) -> Document:
    """Make a Document of a record; the record is used up and becomes the metadata.

    A document of which only the title holds something gets the title as its text.
    """
    doc_id = where if id_field is None else to_doc_id(record.pop(id_field), id_field, where)
    if fields.text_field not in record:
        raise CorpusError(f'{where}: expected a "{fields.text_field}" string, got {listed(record)}')
    text = record.pop(fields.text_field)
    if type(text) is not str:
        raise CorpusError(f'{where}: expected a "{fields.text_field}" string, got {described(text)}')
    title = record.pop(fields.title_field, None)
    if title is None:
        title = ""
    elif type(title) is not str:
        raise CorpusError(f'{where}: expected a "{fields.title_field}" string, got {described(title)}')
    if "\0" in text or "\0" in title:
        raise CorpusError(f"{where}: expected text, got a NUL character in it; remove it")
    return Document(doc_id, title if not text or text.isspace() else text, title, record, where)


def to_doc_id(value: object, id_field: str, where: str) -> str:
    """Return a doc_id as a string; a number must be an integer, since 1 and 1.0 would be different ids."""
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        raise CorpusError(f'{where}: expected an "{id_field}" string or integer, got {described(value)}')
    if not value.strip() or "\0" in value:
        raise CorpusError(f'{where}: expected an "{id_field}" with characters in it, got {value!r}')
    return value


def described(value: object) -> str:
    """Name a value's JSON type for a message."""
    if type(value) in (int, float):
        return f"the number {value}"
    return JSON_NAMES.get(type(value), type(value).__name__)


def listed(names: Collection[str]) -> str:
    """List field names for a message."""
    return "the fields " + ", ".join(names) if names else "no fields"
