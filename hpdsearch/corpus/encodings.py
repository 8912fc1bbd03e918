"""Encodings of text: their names, byte order marks, and text in which bytes that cannot be decoded are marked."""

import codecs
import io
from typing import IO, Any

from hpdsearch.errors import CorpusError

UTF8 = "utf-8"
BOM = b"\xef\xbb\xbf"
# UTF-32 comes first, because its little-endian mark begins with that of UTF-16.
BOMS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    BOM: UTF8,
}
NO_ENCODINGS_OF_FILES = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
NEED_A_MARK = {"utf-16", "utf-32"}
MARK_ERRORS = "hpdsearch-mark"  # name of mark_bytes as an error handler


def normalize_encoding(name: str) -> str:
    """Return Python's name of an encoding, such as iso8859-1 for latin-1.

    Raises:
        CorpusError: Python has no encoding of this name, or it is none of text.
    """
    try:
        b"\0\0\0\0".decode(name, "ignore")  # base64 and the like are no encodings of text
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        encoding = "undefined"
    if encoding in NO_ENCODINGS_OF_FILES:
        raise CorpusError(f"expected an encoding such as utf-8, utf-16, latin-1 or cp1252, got {name[:80]!r}")
    return encoding


def find_bom_encoding(head: bytes) -> str | None:
    """Return the encoding that the byte order mark at the beginning of a file states; None if there is no mark."""
    return next((encoding for mark, encoding in BOMS.items() if head.startswith(mark)), None)


def choose_encoding(head: bytes, stated: str, name: str) -> str:
    """Return the encoding of a file: that of its byte order mark, else the stated one.

    Args:
        head: the beginning of the file.
        stated: by --encoding, or the usual one.
        name: of the file, for the error.

    Raises:
        CorpusError: the stated one leaves the order of bytes to a mark, which is missing.
    """
    marked = find_bom_encoding(head)
    if head and marked is None and stated in NEED_A_MARK:
        raise CorpusError(
            f"{name}: expected a byte order mark, which --encoding {stated} needs, got none; correct the encoding, or "
            f"name the order: --encoding {stated}-le or {stated}-be"
        )
    return marked or stated


def mark_bytes(error: UnicodeError) -> tuple[str, int]:
    """Mark bytes that cannot be decoded by half a surrogate pair, U+DCE9 for 0xe9; text never contains one.

    This is an error handler of Python's codecs.
    """
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(MARK_ERRORS, mark_bytes)


def find_mark(text: str) -> int | None:
    """Return the position of the first mark of a text; None if all bytes were decoded."""
    try:
        text.encode()  # faster than a search for marks
    except UnicodeEncodeError as error:
        return error.start
    return None


class Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already. Closing it leaves the stream open."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Return that the stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return the number of bytes; 0 at the end."""
        size = len(buffer)
        data = self._head[:size] or self._rest.read(size)
        self._head = self._head[size:]
        buffer[: len(data)] = data
        return len(data)


def open_text(head: bytes, rest: IO[bytes], encoding: str) -> IO[str]:
    r"""Return the text of a stream whose first bytes were read already; only \n ends a line, bad bytes are marked."""
    buffered = io.BufferedReader(Rejoined(head, rest), io.DEFAULT_BUFFER_SIZE)
    return io.TextIOWrapper(buffered, encoding=encoding, errors=MARK_ERRORS, newline="\n")
