"""Lines of text from bytes: open, decompress and decode, with errors that name file, line and byte."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, cast

from hpdsearch.corpus.encodings import BOM, MARK_ERRORS, UTF8, choose_encoding, find_mark, open_text
from hpdsearch.errors import CorpusError

BOM_CHARACTER = "\ufeff"
GZIP_MAGIC = "\x1f\udc8b"  # the first bytes of a gzip file, the second one marked
BUFFER_BYTES = 1 << 16
Position = Callable[[], int]  # returns the bytes on disk that are read


@dataclass(frozen=True, slots=True)
class Decoding:
    """How bytes become text.

    Attributes:
        encoding: of files without a byte order mark, as normalize_encoding returns it.
        defers_errors: put the first error that was not taken into `SourceLocation.error` instead of raising it, and go
            on; the text then contains marks (hpdsearch.corpus.encodings) or NUL characters.
        is_an_option: the user can choose the encoding; errors say so.
    """

    encoding: str = UTF8
    defers_errors: bool = False
    is_an_option: bool = False


DEFAULT_DECODING = Decoding()


@dataclass(slots=True)
class SourceLocation:
    """The position of a reader, for messages.

    Attributes:
        name: the file, as the user named it.
        line: the last line that was begun, from 1; 0 before the first line.
        error: says which bytes of the lines that were read could not be decoded; the reader of the records takes it.
    """

    name: str
    line: int = 0
    error: CorpusError | None = None

    def take_error(self) -> CorpusError:
        """Return `error`, which must be set, and remove it."""
        assert self.error is not None
        error = self.error
        self.error = None
        return error

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


@contextmanager
def open_stream(
    source: Path | IO[bytes], location: SourceLocation, *, compressed: bool
) -> Iterator[tuple[IO[bytes], Position | None]]:
    """Open a file, or pass an open stream through; errors inside the `with` block become CorpusErrors.

    Args:
        source: a file, or a stream that is open already.
        location: named in errors.
        compressed: the file is gzip.

    Yields:
        The stream of decompressed bytes, and a function that returns how many bytes on disk are read (None for a
        stream or a FIFO).

    Raises:
        CorpusError: the file cannot be read, or is not gzip as its name says.
    """
    try:
        with ExitStack() as stack:
            if not isinstance(source, Path):
                yield source, None
                return
            raw = stack.enter_context(source.open("rb", buffering=BUFFER_BYTES))
            position = raw.tell if raw.seekable() else None
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if compressed else raw, position
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        if location.line == 0:
            expected = "expected a gzip file, got other bytes or a damaged file"
        else:
            expected = f"expected a complete gzip file, got one that is damaged or truncated after line {location.line}"
        raise CorpusError(f"{location.name}: {expected} ({error}); make the file again") from error
    except OSError as error:
        raise CorpusError(f"{location.name}: cannot be read: {error.strerror or error}") from error


def read_text_lines(file: IO[bytes], location: SourceLocation, decoding: Decoding = DEFAULT_DECODING) -> Iterator[str]:
    r"""Return the lines of a file with their line ends; location.line follows. Only \n ends a line.

    A byte order mark of UTF-8, UTF-16 or UTF-32 decides the encoding; it is not part of the text.

    Raises:
        CorpusError: a line contains bytes that cannot be decoded, or a NUL (see Decoding).
    """
    head = file.readline()
    encoding = choose_encoding(head, decoding.encoding, location.name)
    if encoding == UTF8:
        return read_utf8_lines(head, file, location, decoding)
    return read_marked_lines(open_text(head, file, encoding), location, encoding, decoding)


def read_utf8_lines(head: bytes, file: IO[bytes], location: SourceLocation, decoding: Decoding) -> Iterator[str]:
    """Yield the lines of a UTF-8 file whose first line was read already; this is faster than a text stream."""
    offset = 0
    for number, raw in enumerate(chain([head] if head else [], file), start=1):
        location.line = number
        if number == 1 and raw.startswith(BOM):
            offset = len(BOM)
            raw = raw[len(BOM) :]
        try:
            text = raw.decode()
            is_bad = "\0" in text
        except UnicodeDecodeError:
            text = raw.decode(UTF8, MARK_ERRORS)
            is_bad = True
        if is_bad:
            refuse_bad_bytes(text, location, UTF8, decoding, offset)
        yield text
        offset += len(raw)


def read_marked_lines(text: IO[str], location: SourceLocation, encoding: str, decoding: Decoding) -> Iterator[str]:
    """Yield the lines of a text in which bytes that cannot be decoded are marked."""
    for number, line in enumerate(text, start=1):
        location.line = number
        refuse_bad_bytes(line, location, encoding, decoding)
        yield line.removeprefix(BOM_CHARACTER) if number == 1 else line


def read_text_pieces(file: IO[bytes], location: SourceLocation, decoding: Decoding = DEFAULT_DECODING) -> Iterator[str]:
    """Yield the text of a file in pieces that end anywhere, as `read_text_lines` yields lines; location.line follows.

    Raises:
        CorpusError: as for `read_text_lines`.
    """
    head = file.read(BUFFER_BYTES)
    encoding = choose_encoding(head, decoding.encoding, location.name)
    text = open_text(head, file, encoding)
    location.line = 1
    offset = 0
    while piece := text.read(BUFFER_BYTES):
        refuse_bad_bytes(piece, location, encoding, decoding, offset)
        yield piece if offset else piece.removeprefix(BOM_CHARACTER)
        offset += count_bytes(piece)
        location.line += piece.count("\n")


def refuse_bad_bytes(
    text: str, location: SourceLocation, encoding: str, decoding: Decoding, offset: int | None = None
) -> None:
    """Refuse a text that begins in `location.line` if it contains marks or a NUL.

    Args:
        text: a line, or a piece of the file.
        location: the error names it.
        encoding: of the file.
        decoding: says whether the error is raised.
        offset: position of the text in its decompressed file, in bytes of UTF-8; None: unknown.

    Raises:
        CorpusError: the text contains one, and `decoding` does not defer errors.
    """
    position = find_mark(text)
    is_nul = position is None
    if position is None:
        position = text.find("\0")
    if position < 0:
        return
    line = location.line + text.count("\n", 0, position)
    at = ""
    if encoding == UTF8 and offset is not None:
        at = f" at offset {offset + count_bytes(text[:position])}"
    if is_nul:
        problem = f"expected text, got a NUL byte{at}; leave out binary files"
        if decoding.is_an_option and line == 1 and position < 2:
            problem += ", or name the encoding, as in --encoding utf-16-le"
    elif text.startswith(GZIP_MAGIC) and offset == 0:
        problem = "expected text, got gzip; name the file .gz, or decompress it: gzip -dc"
    else:
        byte = ord(text[position]) & 0xFF
        at = f"{at} of the file" if at else ""
        problem = f"expected {encoding.upper()}, got the byte 0x{byte:02x}{at}; convert the file with iconv"
        if decoding.is_an_option:
            problem += ", name its encoding (--encoding latin-1), or leave it out (--on-error skip)"
    error = CorpusError(f"{location.name}:{line}: {problem}")
    if not decoding.defers_errors:
        raise error
    location.error = location.error or error


def count_bytes(text: str) -> int:
    """Return the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def strip_line_end(line: str) -> str:
    r"""Return a line without its \n or \r\n."""
    if line.endswith("\n"):
        return line[:-2] if line.endswith("\r\n") else line[:-1]
    return line
