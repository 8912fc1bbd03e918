"""Bytes -> lines of text: opening, decompressing and decoding, with errors that name file, line and byte."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from hpdsearch.errors import CorpusError

BOM = b"\xef\xbb\xbf"
BUFFER_BYTES = 1 << 16
Position = Callable[[], int]
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Place:
    """Where the reader stands: the file as the user named it, and the line last begun (0: before the first)."""

    name: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"


@contextmanager
def opened(source: Path | IO[bytes], place: Place, *, compressed: bool) -> Iterator[tuple[IO[bytes], Position | None]]:
    """Open a file, or take an open stream as it is; what goes wrong until the block ends becomes a CorpusError.

    Yields:
        The stream of (decompressed) bytes; a function that tells how many bytes on disk are read, None for a stream.
    """
    try:
        with ExitStack() as stack:
            if not isinstance(source, Path):
                yield source, None
                return
            raw = stack.enter_context(source.open("rb", buffering=BUFFER_BYTES))
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if compressed else raw, raw.tell
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        if place.line == 0:
            came = "expected a gzip file, got other or damaged bytes"
        else:
            came = f"expected a whole gzip file, got one that is damaged or truncated after line {place.line}"
        raise CorpusError(f"{place.name}: {came} ({error}); make the file again") from error
    except OSError as error:
        raise CorpusError(f"{place.name}: cannot be read: {error.strerror or error}") from error


def text_lines(file: IO[bytes], place: Place) -> Iterator[str]:
    r"""Yield the lines of a UTF-8 file with their ends, moving `place` along; only \n ends a line.

    Raises:
        CorpusError: bytes that are not UTF-8, or a NUL byte.
    """
    offset = 0
    for number, raw in enumerate(file, start=1):
        place.line = number
        if number == 1 and raw.startswith(BOM):
            offset, raw = len(BOM), raw[len(BOM) :]
        yield decoded(raw, str(place), offset)
        offset += len(raw)


def decoded(raw: bytes, where: str, offset: int = 0) -> str:
    """Decode UTF-8; `offset` is the position of `raw` in its (decompressed) file."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if offset == 0 and raw.startswith(UTF16_BOMS):
            raise CorpusError(f"{where}: expected UTF-8, got UTF-16; convert it: iconv -f UTF-16 -t UTF-8") from None
        byte, position = raw[error.start], offset + error.start
        raise CorpusError(
            f"{where}: expected UTF-8, got the byte 0x{byte:02x} at offset {position} of the file ({error.reason}); "
            "convert the file to UTF-8, for example with iconv"
        ) from None
    if "\0" in text:
        position = offset + raw.index(b"\0")
        raise CorpusError(f"{where}: expected text, got a NUL byte at offset {position}: this is a binary file")
    return text
