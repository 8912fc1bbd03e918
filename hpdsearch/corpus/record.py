"""A Document from a record of named values: a JSON object, a CSV or Parquet row."""

from collections.abc import Collection
from typing import Any

from hpdsearch.corpus.options import Fields
from hpdsearch.corpus.selection import MISSING, list_fields, pop_field
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
        CorpusError: both "id" and "_id" are there, and the user named neither.
    """
    if fields.id_field is not None:
        return fields.id_field
    if "id" in names:
        if "_id" in names:
            raise CorpusError(f'{where}: expected "id" or "_id", got both; say which one is the doc_id (id_field)')
        return "id"
    return "_id" if "_id" in names else None


def check_header(names: list[str], fields: Fields, where: str, nested: Collection[str] = ()) -> None:
    """Check that a table has every field that the user named, and no column name twice.

    Args:
        names: of the columns.
        fields: named by the user.
        where: the file, for messages.
        nested: fields inside the columns.

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
        if field is not None and field not in names and field not in nested:
            raise CorpusError(f'{where}: expected a column "{field}" ({option}), got {list_fields(names)}')
    find_id_field(names, fields, where)


def to_document(
    record: dict[str, Any], id_field: str | None, fields: Fields, where: str, *, source: str = ""
) -> Document:
    """Build a Document from a record; the record is changed and becomes the metadata.

    A document with a blank text gets its title as the text. A text of null is an empty text.

    Args:
        record: the values by field.
        id_field: field of the doc_id; None: the doc_id is the source.
        fields: the fields of text and title.
        where: file and line, for messages.
        source: the document's source, if it differs from `where`.

    Raises:
        CorpusError: text, title or doc_id is missing or not a string, or contains a NUL character.
    """
    names = [*record]
    source = source or where
    doc_id = source
    if id_field is not None:
        value = pop_field(record, id_field)
        if value is MISSING:
            raise CorpusError(f'{where}: expected a field "{id_field}" for the doc_id, got {list_fields(names)}')
        doc_id = to_doc_id(value, id_field, where)
    text = pop_field(record, fields.text_field)
    if text is None:
        text = ""
    elif type(text) is not str:
        got = list_fields(names) if text is MISSING else describe_json(text)
        raise CorpusError(f'{where}: expected a "{fields.text_field}" string, got {got}')
    title = pop_field(record, fields.title_field)
    if title is None or title is MISSING:
        title = ""
    elif type(title) is not str:
        raise CorpusError(f'{where}: expected a "{fields.title_field}" string, got {describe_json(title)}')
    if "\0" in text or "\0" in title:
        raise CorpusError(f"{where}: expected text, got a NUL character in it; remove it")
    return Document(doc_id, title if not text or text.isspace() else text, title, record, source)


def to_doc_id(value: object, id_field: str, where: str) -> str:
    """Return a doc_id as a string; a number must be an integer, because 1 and 1.0 would become different ids.

    Raises:
        CorpusError: the value is neither a string with characters in it nor an integer.
    """
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        advice = "; write integers without a point" if type(value) is float else ""
        raise CorpusError(f'{where}: expected an "{id_field}" string or integer, got {describe_json(value)}{advice}')
    if not value.strip() or "\0" in value:
        raise CorpusError(f'{where}: expected an "{id_field}" with characters in it, got {value!r}')
    return value


def describe_json(value: object) -> str:
    """Describe a value by its JSON type, for a message."""
    if type(value) in (int, float):
        return f"the number {value}"
    return JSON_NAMES.get(type(value), type(value).__name__)
