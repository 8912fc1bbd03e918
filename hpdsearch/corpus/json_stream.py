"""Documents from .json files: an array of objects, or one object after the other; one object is in memory at a time."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpdsearch.corpus.json_records import DECODER, describe_json_error, require_unicode
from hpdsearch.corpus.lines import SourceLocation
from hpdsearch.corpus.options import ReadOptions, ReadStats
from hpdsearch.corpus.record import find_id_field, to_document
from hpdsearch.corpus.selection import find_path, select_fields
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

SPACE = re.compile(r"[ \t\r\n]*")
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

    def advance(self, end: int) -> None:
        """Consume the text up to a position."""
        self.line += self.text.count("\n", self.position, end)
        self.position = end

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
    for number, (where, found) in enumerate(read_objects(TextBuffer(pieces), location.name), start=1):
        record = select_fields(found, options, stats.columns_seen)
        title_seen = title_seen or bool(find_path(record, fields.title_field))
        id_field = find_id_field(record, fields, where)
        yield to_document(record, id_field, fields, where, source=f"{location.name}:{number}")
    if fields.title_is_required and not title_seen and number:
        raise CorpusError(
            f'{location.name}: expected a field "{fields.title_field}" (title_field), got no object with it'
        )


def read_objects(buffer: TextBuffer, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the number and line of each object, for messages, and the object.

    Raises:
        CorpusError: the text is neither an array of objects nor a sequence of objects.
    """
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
        yield where, read_object(buffer, where)
        is_complete = buffer.peek() == end
        if is_array and not is_complete:
            require(buffer, ",", f"{name}:{buffer.line}")
    if is_array:
        require(buffer, "]", f"{name}:{buffer.line}")
        require(buffer, "", f"{name}:{buffer.line}")


def require(buffer: TextBuffer, expected: str, where: str) -> None:
    """Consume the next character, which must be the expected one; "" stands for the end of the file.

    Raises:
        CorpusError: it is another one.
    """
    if buffer.peek() != expected:
        raise CorpusError(f"{where}: expected {expected or 'the end of the file'}, got {describe(buffer)}")
    buffer.advance(buffer.position + len(expected))


def read_object(buffer: TextBuffer, where: str) -> dict[str, Any]:
    """Parse the object at the position of the buffer and consume it.

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
