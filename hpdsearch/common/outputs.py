"""Open the files that users name for results: regular files, links, pipes, devices and standard output."""

import io
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hpdsearch.common.files import PARTIAL, NamedFile, atomic_write
from hpdsearch.common.forks import leave_file_to_parent
from hpdsearch.errors import OutputError

STDOUT = Path("-")
STDOUT_NAME = "standard output"  # in errors
MAX_LINKS = 40  # the limit of Linux
NO_TERMINAL = getattr(os, "O_NOCTTY", 0)  # a terminal that is opened does not begin to send signals

_open_outputs: set[object] = set()  # real paths of regular files; device and inode of pipes and descriptors


@contextmanager
def open_output(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """Open a file that the user named for results. Open it before the work, since everything is checked here.

    A regular file is written under a temporary name and renamed when the block ends; after an error, nothing stays
    beside an older file. It keeps the permissions of the file that it replaces. A link is followed. FIFOs, character
    devices and descriptors (`-`, /dev/stdout, /dev/fd/3) are written through, and cannot seek.

    Args:
        path: the file; `-` is standard output.
        overwrite: replace a regular file that exists.
        inputs: files that are read, which are never replaced, and folders in which nothing is written.

    Raises:
        OutputError: the file exists and `overwrite` is not set; it is an input, a standard stream, another output, a
            folder, a socket or a block device; its folder is missing or cannot be written.
        OSError: the file cannot be written; the error names it.
    """
    descriptor = find_descriptor(path)
    status = _find_status(path) if descriptor is None else os.fstat(descriptor)
    if descriptor is not None or (status is not None and _is_stream(status)):
        opened = _open_stream(path, descriptor)
        identity: object = (status.st_dev, status.st_ino) if status is not None else None
        if status is not None and stat.S_ISCHR(status.st_mode):
            identity = object()  # several outputs may go to a terminal or to the null device
    else:
        target = Path(os.path.realpath(path))
        _require_free(path, target, status, overwrite, inputs)
        opened = _open_beside(path, target, status, overwrite)
        identity = target
    if identity in _open_outputs:
        raise OutputError(f"{path}: is the file of another output too; name another one")
    _open_outputs.add(identity)
    try:
        with opened as file:
            yield file
    finally:
        _open_outputs.remove(identity)


def is_stdout(path: Path) -> bool:
    """Return whether a path stands for standard output: `-`, /dev/stdout, /dev/fd/1, or a link to them."""
    return find_descriptor(path) == 1


def find_descriptor(path: Path) -> int | None:
    """Return the descriptor of this process that a path stands for: `-` is 1, /dev/fd/3 is 3; None for a file.

    Raises:
        OutputError: the descriptor is not open.
    """
    if path == STDOUT:
        return 1
    folders = re.compile(rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd")
    for _ in range(MAX_LINKS):
        if re.fullmatch(r"[0-9]{1,9}", path.name) and folders.fullmatch(os.path.realpath(path.parent)):
            descriptor = int(path.name)
            try:
                os.fstat(descriptor)
            except OSError as error:
                raise OutputError(f"{path}: expected an open descriptor, got: {error.strerror}") from None
            return descriptor
        if not os.path.islink(path):  # noqa: PTH114  (Path.is_symlink fails for a name that is too long)
            return None
        path = path.parent / path.readlink()
    return None


def _find_status(path: Path) -> os.stat_result | None:
    """Return the status of the file behind a path, None for a new file.

    Raises:
        OutputError: it is a folder, a socket or a block device, or the path cannot be followed.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; name another file") from None
    if stat.S_ISREG(status.st_mode) or _is_stream(status):
        return status
    kinds = {stat.S_IFDIR: "folder", stat.S_IFSOCK: "socket", stat.S_IFBLK: "block device"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "special file")
    raise OutputError(f"{path}: expected a file to write, found a {kind}; name a file")


def _is_stream(status: os.stat_result) -> bool:
    return stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)


def _require_free(
    path: Path, target: Path, status: os.stat_result | None, overwrite: bool, inputs: Iterable[Path]
) -> None:
    """Raise OutputError if a regular file must not be written.

    Args:
        path: as the user wrote it.
        target: its real path.
        status: of the file that exists.
        overwrite: replace it.
        inputs: as for `open_output`.
    """
    if not target.parent.is_dir():
        raise OutputError(f"{path}: the folder {target.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {target.parent} cannot be written; name a file in another one")
    for each in inputs:
        if each.is_dir() and target.is_relative_to(os.path.realpath(each)):
            raise OutputError(f"{path}: is in the folder {each}, which this command reads; name a file outside")
        if status is not None and each.exists() and os.path.samestat(status, each.stat()):
            raise OutputError(f"{path}: is read by this command; name another file")
    if status is None:
        return
    for descriptor, name in enumerate(("standard input", STDOUT_NAME, "standard error")):
        with suppress(OSError):  # a closed stream
            if os.path.samestat(status, os.fstat(descriptor)):
                raise OutputError(f"{path}: is {name} too; name another file, or - for standard output")
    if not overwrite:
        raise OutputError(f"{path}: exists already; name another file, or replace it with --overwrite")


@contextmanager
def _open_beside(path: Path, target: Path, status: os.stat_result | None, overwrite: bool) -> Iterator[BinaryIO]:
    """Write a regular file under a temporary name, which no other writer has, and rename it."""
    partial = target.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    with atomic_write(target, partial=partial, name=str(path)) as file:
        if status is not None:
            _copy_access(status, partial)
        yield file
        if not overwrite and target.exists():
            raise OutputError(f"{path}: another process made this file meanwhile; it is unchanged")


def _copy_access(status: os.stat_result, path: Path) -> None:
    """Give a file the owner and the permissions of the file that it will replace."""
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root may give files away
            os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode) & 0o777)


class _Stream(NamedFile):
    """A file that is written from its current place on, though it may be a regular one that the caller opened."""

    def seekable(self) -> bool:
        """Return False."""
        return False


@contextmanager
def _open_stream(path: Path, descriptor: int | None) -> Iterator[BinaryIO]:
    """Open a FIFO, a device or a copy of a descriptor; a FIFO waits for its reader."""
    name = STDOUT_NAME if descriptor == 1 else str(path)
    try:
        opened = os.open(path, os.O_WRONLY | NO_TERMINAL) if descriptor is None else os.dup(descriptor)
    except OSError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror}") from error
    with io.BufferedWriter(_Stream(opened, name)) as file:
        leave_file_to_parent(file)
        try:
            file.raw.write(b"")  # a descriptor that was opened for reading fails here, before the work
        except OSError as error:
            raise OutputError(f"{name}: cannot be written: {error.strerror}") from error
        yield file
