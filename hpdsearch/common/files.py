"""Write files atomically: under a temporary name, fsynced, then renamed. Compute checksums and parse JSON."""

import errno
import hashlib
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


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for writing; if the block ends without error, fsync it and rename it.

    Raises:
        OSError: the file cannot be written, or `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(path.name + PARTIAL)
    process = os.getpid()
    try:
        with partial.open("wb") as file:
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
