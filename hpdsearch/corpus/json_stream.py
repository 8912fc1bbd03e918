"""Documents from .json files: an array of objects, or one object after the other; one object is in memory at a time."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hpdsearch.corpus.encodings import find_mark
from hpdsearch.corpus.json_records import DECODER, describe_json_error, require_unicode
from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import Fields, ReadOptions, ReadStats
from hpdsearch.corpus.record import find_id_field, to_document
from hpdsearch.corpus.selection import find_path, select_fields
from hpdsearch.corpus.skipping import OnError, Refuse
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

SPACE = re.compile(r"[ \t\r\n]*")
STRUCTURE = re.compile(r'\\.|["\[\]{},]', re.DOTALL)  # an escape is taken as a whole
LONGEST_TOKEN = 12  # characters of a token that is no string and that may be cut: "\ud83d\ude00"


@dataclass(slots=True)
class TextBuffer:
    """A part of a text that is read in pieces.

    Attributes:
        pieces: the text that is not read yet.
        text: the part in memory.
        position: of the next character in `text`.
        line: of the next character, from 1.
    """

    pieces: Iterator[str]
    text: str = ""
    position: int = 0
    line: int = 1

    def fill(self) -> bool:
        """Drop what is consumed and at least double the rest, so that few retries are needed; False at the end."""
        rest = self.text[self.position :]
        parts = [rest]
        length = 0
        for piece in self.pieces:
            parts.append(piece)
            length += len(piece)
            if length >= len(rest):
                break
        self.text = "".join(parts)
        self.position = 0
        return len(parts) > 1

    def advance(self, end: int) -> int:
        """Consume the text up to a position; return the number of characters."""
        n_characters = end - self.position
        self.line += self.text.count("\n", self.position, end)
        self.position = end
        return n_characters

    def peek(self) -> str:
        """Skip white space and return the next character; "" at the end of the text."""
        while True:
            found = SPACE.match(self.text, self.position)
            assert found is not None
            self.advance(found.end())
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.fill():
                return ""


def read_json(
    pieces: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per object; objects are numbered from 1 in ids, as lines are.

    Raises:
        CorpusError: the file is not such JSON, or no object has the title field that the user named.
    """
    fields = options.fields
    title_seen = False
    number = 0
    refuse = partial(stats.skipped.add_or_raise, on_error=options.on_error)
    skip = None if options.on_error is OnError.STOP else refuse
    buffer = TextBuffer(pieces)
    objects = read_objects(buffer, location, skip)
    if buffer.peek() != "[":
        objects = open_lists(objects, location.name, fields)
    for number, where, found in objects:
        try:
            record = select_fields(found, options, stats.columns_seen)
            title_seen = title_seen or bool(find_path(record, fields.title_field))
            id_field = find_id_field(record, fields, where)
            document = to_document(record, id_field, fields, where, source=f"{location.name}:{number}")
        except CorpusError as error:
            refuse(error)
            continue
        yield document
    if fields.title_is_required and not title_seen and number:
        missing = f'{location.name}: expected a field "{fields.title_field}" (title_field), got no object with it'
        refuse(CorpusError(missing))


def open_lists(
    objects: Iterator[tuple[int, str, dict[str, Any]]], name: str, fields: Fields
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the objects that are records, and the records of those that hold a list of them: `{"data": [...]}`."""
    n_opened = 0  # records of such lists, beyond one an object
    for number, where, found in objects:
        field = find_list(found, fields)
        if field is None:
            yield number + n_opened, where, found
            continue
        for position, record in enumerate(found[field], start=number + n_opened):
            yield position, f'{name}: record {position} (in "{field}")', record
        n_opened += len(found[field]) - 1


def find_list(found: dict[str, Any], fields: Fields) -> str | None:
    """Return the name of the one list of objects of an object that is no record; None if it is one, or has not one."""
    if find_path(found, fields.text_field):
        return None
    names = [
        name
        for name, value in found.items()
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    ]
    return names[0] if len(names) == 1 else None


def read_objects(
    buffer: TextBuffer, location: SourceLocation, skip: Refuse | None = None
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the number of each object from 1, its number and line for messages, and the object.

    Args:
        buffer: the text.
        location: names the file, and tells that some bytes could not be decoded.
        skip: takes the error of an object that is skipped; None: no object is skipped.

    Raises:
        CorpusError: the text is neither an array of objects nor a sequence of objects.
    """
    name = location.name
    is_array = buffer.peek() == "["
    if is_array:
        buffer.advance(buffer.position + 1)
    end = "]" if is_array else ""
    number = 0
    is_complete = buffer.peek() == end
    while not is_complete:
        number += 1
        buffer.peek()  # the object's own line counts, not that of the comma before it
        where = f"{name}: record {number} (line {buffer.line})"
        try:
            found = read_object(buffer, where, location)
        except CorpusError as error:
            if skip is None:
                raise
            n_skipped = skip_value(buffer, in_array=is_array)
            skip(CorpusError(f"{error} ({n_skipped:,} characters skipped)"))
        else:
            yield number, where, found
        is_complete = buffer.peek() == end
        if is_array and not is_complete:
            require(buffer, ",", f"{name}:{buffer.line}")
    if is_array:
        require(buffer, "]", f"{name}:{buffer.line}")
        require(buffer, "", f"{name}:{buffer.line}")


def skip_value(buffer: TextBuffer, *, in_array: bool) -> int:
    """Consume a value that cannot be read, by its brackets and, in an array, up to the comma behind it.

    Returns:
        the number of characters; quotes or brackets that do not match may lead to the end of the file.
    """
    start = buffer.position
    n_skipped = 0
    depth = 0
    in_string = False
    while True:
        end = buffer.position
        for found in STRUCTURE.finditer(buffer.text, buffer.position):
            character = found[0]
            end = found.end()
            begins_next = character in ",]" if in_array else character == "{" and n_skipped + found.start() > start
            if character == '"':
                in_string = not in_string
            elif in_string or len(character) > 1:
                continue
            elif depth == 0 and begins_next:
                return n_skipped + buffer.advance(found.start())
            elif character in "[{":
                depth += 1
            elif character in "]}":
                depth = max(depth - 1, 0)
                if depth == 0 and not in_array:
                    return n_skipped + buffer.advance(end)
        is_cut_escape = buffer.text.endswith("\\") and end < len(buffer.text)
        n_skipped += buffer.advance(len(buffer.text) - is_cut_escape)
        if not buffer.fill():
            return n_skipped + buffer.advance(len(buffer.text))


def require(buffer: TextBuffer, expected: str, where: str) -> None:
    """Consume the next character, which must be the expected one; "" stands for the end of the file.

    Raises:
        CorpusError: it is another one.
    """
    if buffer.peek() != expected:
        raise CorpusError(f"{where}: expected {expected or 'the end of the file'}, got {describe(buffer)}")
    buffer.advance(buffer.position + len(expected))


def read_object(buffer: TextBuffer, where: str, location: SourceLocation) -> dict[str, Any]:
    """Parse the object at the position of the buffer and consume it.

    Args:
        buffer: the text.
        where: for messages.
        location: has an error if the text contains marks of bytes that could not be decoded.

    Raises:
        CorpusError: there is no JSON object, or it cannot be stored, as for `parse_object`.
    """
    if buffer.peek() != "{":
        raise CorpusError(f"{where}: expected a JSON object, got {describe(buffer)}")
    record: dict[str, Any]
    while True:
        try:
            record, end = DECODER.raw_decode(buffer.text, buffer.position)
            require_unicode(record, buffer.text[buffer.position : end])
            if location.error is not None and find_mark(buffer.text[buffer.position : end]) is not None:
                raise ValueError("expected text, got bytes that are not of the encoding of the file")
        except json.JSONDecodeError as error:
            if is_cut(error) and buffer.fill():
                continue
            line = buffer.line + buffer.text.count("\n", buffer.position, error.pos)
            near = buffer.text[max(buffer.position, error.pos - 20) : error.pos + 20]
            raise CorpusError(
                f"{where}: expected a JSON object, got an error in line {line} near {near!r}: {error.msg}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{where}: {describe_json_error(error)}") from None
        buffer.advance(end)
        return record


def is_cut(error: json.JSONDecodeError) -> bool:
    """Return whether the text may have ended before the object did."""
    return error.pos > len(error.doc) - LONGEST_TOKEN or error.msg.startswith("Unterminated string")


def describe(buffer: TextBuffer) -> str:
    """Describe the text at the position of a buffer, for a message."""
    return repr(buffer.text[buffer.position : buffer.position + 40]) if buffer.peek() else "the end of the file"
