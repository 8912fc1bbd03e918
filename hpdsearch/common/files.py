"""Write files atomically: under a temporary name, fsynced, then renamed. Compute checksums and parse JSON.

`outputs.py` opens the files that users name, which may also be pipes and devices.
"""

import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hpdsearch.common.forks import leave_file_to_parent

PARTIAL = ".partial"  # ending of a file that is still being written; the next writer removes leftovers
BLOCK = 1 << 20
MAX_READ_ATTEMPTS = 50  # of a reader that opens a folder while writers commit and remove files


class NamedFile(io.FileIO):
    """A file for writing. An error of the system names it as its user does: a full disk has no name of its own."""

    def __init__(self, file: int | Path, name: str) -> None:
        self._name = name
        try:
            super().__init__(file, "wb")
        except OSError as error:
            error.filename = name
            raise

    def write(self, data: Any, /) -> int:
        """Write bytes."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = self._name
            raise


@contextmanager
def atomic_write(path: Path, *, partial: Path | None = None, name: str | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for writing; if the block ends without error, fsync it and rename it.

    Args:
        path: place of the file.
        partial: the temporary file; None: `path` with the ending .partial, which replaces that of a dead writer.
        name: names the file in errors; None: `path`.

    Raises:
        OSError: the file cannot be written, or `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = partial or path.with_name(path.name + PARTIAL)
    process = os.getpid()
    try:
        with io.BufferedWriter(NamedFile(partial, name or str(path))) as file:
            leave_file_to_parent(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        if os.getpid() == process:  # a forked child leaves the file to its parent
            partial.unlink(missing_ok=True)
        raise


def fsync_folder(folder: Path) -> None:
    """Make the entries of a folder durable; does nothing where folders cannot be opened (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply for Python's parser.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("values that are nested too deeply") from None
