"""Lines of text from bytes: open, decompress and decode, with errors that name file, line and byte."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from hpdsearch.errors import CorpusError

BOM = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
BUFFER_BYTES = 1 << 16
Position = Callable[[], int]  # returns the bytes on disk that are read
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class SourceLocation:
    """The position of a reader, for messages.

    Attributes:
        name: the file, as the user named it.
        line: the last line that was begun, from 1; 0 before the first line.
    """

    name: str
    line: int = 0

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


def read_text_lines(file: IO[bytes], location: SourceLocation) -> Iterator[str]:
    r"""Yield the lines of a UTF-8 file with their line ends and set location.line; only \n ends a line.

    Raises:
        CorpusError: the file contains bytes that are not UTF-8, or a NUL byte.
    """
    offset = 0
    for number, raw in enumerate(file, start=1):
        location.line = number
        if number == 1 and raw.startswith(BOM):
            offset = len(BOM)
            raw = raw[len(BOM) :]
        yield decode_line(raw, str(location), offset)
        offset += len(raw)


def read_text_pieces(file: IO[bytes], location: SourceLocation) -> Iterator[str]:
    """Yield the text of a UTF-8 file in pieces that end anywhere, and set location.line.

    Raises:
        CorpusError: the file contains bytes that are not UTF-8, or a NUL byte.
    """
    rest = b""
    offset = 0
    location.line = 1
    while raw := file.read(BUFFER_BYTES):
        raw = rest + raw
        if offset == 0 and raw.startswith(BOM):
            offset = len(BOM)
            raw = raw[len(BOM) :]
        end = find_character_end(raw)
        text = decode_line(raw[:end], str(location), offset)
        yield text
        location.line += text.count("\n")
        offset += end
        rest = raw[end:]
    if rest:
        decode_line(rest, str(location), offset)


def find_character_end(raw: bytes) -> int:
    """Return the length of the bytes without a character of UTF-8 that is incomplete at their end."""
    for length in range(1, min(4, len(raw)) + 1):
        first = raw[-length]
        if first >= 0b1100_0000:  # the first byte of a character of 2, 3 or 4 bytes
            n_bytes = 2 + (first >= 0b1110_0000) + (first >= 0b1111_0000)
            return len(raw) - length if length < n_bytes else len(raw)
        if first < 0b1000_0000:
            break
    return len(raw)


def strip_line_end(line: str) -> str:
    r"""Return a line without its \n or \r\n."""
    if line.endswith("\n"):
        return line[:-2] if line.endswith("\r\n") else line[:-1]
    return line


def decode_line(raw: bytes, where: str, offset: int = 0) -> str:
    """Decode a line of UTF-8.

    Args:
        raw: the bytes of the line.
        where: `file:line`, for messages.
        offset: position of `raw` in its decompressed file, in bytes.

    Raises:
        CorpusError: the bytes are not UTF-8, or contain a NUL byte.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if offset == 0 and raw.startswith(UTF16_BOMS):
            raise CorpusError(f"{where}: expected UTF-8, got UTF-16; convert it: iconv -f UTF-16 -t UTF-8") from None
        if offset == 0 and raw.startswith(GZIP_MAGIC):
            raise CorpusError(
                f"{where}: expected text, got gzip; name the file .gz, or decompress it: gzip -dc"
            ) from None
        position = offset + error.start
        raise CorpusError(
            f"{where}: expected UTF-8, got the byte 0x{raw[error.start]:02x} at offset {position} of the file "
            f"({error.reason}); convert the file to UTF-8, for example with iconv"
        ) from None
    if "\0" in text:
        position = offset + raw.index(b"\0")
        raise CorpusError(f"{where}: expected text, got a NUL byte at offset {position}; leave out binary files")
    return text
