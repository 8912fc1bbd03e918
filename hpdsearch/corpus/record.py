"""A Document from a record of named values: a JSON object, a CSV or Parquet row."""

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
    """Return the name of the field that holds the doc_id; None if the record has none and the user named none.

    Raises:
        CorpusError: the named field is missing, or both "id" and "_id" are there.
    """
    if fields.id_field is not None:
        if fields.id_field not in names:
            raise CorpusError(f'{where}: expected a field "{fields.id_field}" for the doc_id, got {list_fields(names)}')
        return fields.id_field
    if "id" in names:
        if "_id" in names:
            raise CorpusError(f'{where}: expected "id" or "_id", got both; say which one is the doc_id (id_field)')
        return "id"
    return "_id" if "_id" in names else None


def check_header(names: list[str], fields: Fields, where: str) -> None:
    """Check that a table has every field that the user named, and no column name twice.

    Raises:
        CorpusError: a field is missing, or a name occurs twice.
    """
    for name in names:
        if names.count(name) > 1:
            raise CorpusError(f'{where}: expected different column names, got "{name}" twice')
    wanted: list[tuple[str, str | None]] = [("id_field", fields.id_field), ("text_field", fields.text_field)]
    if fields.title_is_required:
        wanted.append(("title_field", fields.title_field))
    for option, field in wanted:
        if field is not None and field not in names:
            raise CorpusError(f'{where}: expected a column "{field}" ({option}), got {list_fields(names)}')
    find_id_field(names, fields, where)


def to_document(record: dict[str, Any], id_field: str | None, fields: Fields, where: str) -> Document:
    """Build a Document from a record; the record is changed and becomes the metadata.

    A document with a blank text gets its title as the text.

    Raises:
        CorpusError: text, title or doc_id is missing or not a string, or contains a NUL character.
    """
    doc_id = where if id_field is None else to_doc_id(record.pop(id_field), id_field, where)
    if fields.text_field not in record:
        names = [*record] if id_field is None else [id_field, *record]
        raise CorpusError(f'{where}: expected a "{fields.text_field}" string, got {list_fields(names)}')
    text = record.pop(fields.text_field)
    if type(text) is not str:
        raise CorpusError(f'{where}: expected a "{fields.text_field}" string, got {describe_json(text)}')
    title = record.pop(fields.title_field, None)
    if title is None:
        title = ""
    elif type(title) is not str:
        raise CorpusError(f'{where}: expected a "{fields.title_field}" string, got {describe_json(title)}')
    if "\0" in text or "\0" in title:
        raise CorpusError(f"{where}: expected text, got a NUL character in it; remove it")
    return Document(doc_id, title if not text or text.isspace() else text, title, record, where)


def to_doc_id(value: object, id_field: str, where: str) -> str:
    """Return a doc_id as a string; a number must be an integer, because 1 and 1.0 would become different ids.

    Raises:
        CorpusError: the value is neither a string with characters in it nor an integer.
    """
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        raise CorpusError(f'{where}: expected an "{id_field}" string or integer, got {describe_json(value)}')
    if not value.strip() or "\0" in value:
        raise CorpusError(f'{where}: expected an "{id_field}" with characters in it, got {value!r}')
    return value


def describe_json(value: object) -> str:
    """Describe a value by its JSON type, for a message."""
    if type(value) in (int, float):
        return f"the number {value}"
    return JSON_NAMES.get(type(value), type(value).__name__)


def list_fields(names: Collection[str]) -> str:
    """List field names, for a message."""
    return "the fields " + ", ".join(names) if names else "no fields"
