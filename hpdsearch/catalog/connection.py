"""Connections to a catalog, and what SQLite's errors mean.

A reader changes no file and needs no write permission. SQLite coordinates readers with writers by the files `-wal` and
`-shm` beside the catalog; it creates them where it may write, and a reader elsewhere needs those that exist. So a
writer leaves both behind (docs/decisions/0052-reading-without-writing.md).
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeAlias

from hpdsearch.errors import RESTORE_CATALOG, ChangedIndexError, CorruptIndexError, IndexFolderError

CACHE_KIB = 65_536

# SQLite quotes names of the schema in its messages; a name that is no UTF-8 any more raises the second error.
SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)

FileState: TypeAlias = tuple[int, int, int]  # inode, size, mtime_ns


# SQLite says one of these where it cannot create, lock or write the files beside the catalog.
_CANNOT_COORDINATE = (
    "unable to open database file",
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
)


def connect_writer(path: Path) -> sqlite3.Connection:
    """Connect to a catalog for writing; create it, with the modes of the umask, if there is none.

    Raises:
        IndexFolderError: the file cannot be opened, or it or one beside it cannot be written.
        CorruptIndexError: the file is not an SQLite database.
    """
    for file in (path, *beside(path)):  # SQLite would notice it only at the first change
        if file.exists() and not os.access(file, os.W_OK):
            raise IndexFolderError(f"{file}: cannot be written; its owner can allow it, or choose another folder")
    if not path.exists():
        path.touch()  # SQLite would create it as 0644 under any umask; `-wal` and `-shm` get the modes of the catalog
    return _open_connection(path, "mode=rw", CACHE_KIB)


def close_with_checkpoint(path: Path, connection: sqlite3.Connection) -> None:
    """Close a connection and move all commits from the log to the catalog; `-wal` (empty) and `-shm` stay for readers.

    If readers of earlier commits are open elsewhere, or the disk fails, commits stay in the log.
    """
    # SQLite deletes both files with the last connection unless that is read-only.
    with suppress(*SQLITE_ERRORS), closing(sqlite3.connect(_uri(path, "mode=ro"), uri=True)) as last:
        last.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
        with closing(sqlite3.connect(_uri(path, "mode=rw"), uri=True, timeout=0)) as writer:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()


def connect_reader(path: Path) -> tuple[sqlite3.Connection, FileState | None]:
    """Connect to a catalog for reading; permissions and disk decide how SQLite coordinates with writers.

    Returns:
        the connection; None, or the state of a catalog that cannot be locked here and that must stay as it is while
        the connection is used (`require_unchanged`).

    Raises:
        IndexFolderError: the file cannot be opened, or only without the last committed changes.
        CorruptIndexError: the file is not an SQLite database.
    """
    failure: IndexFolderError | None = None
    state = read_state(path)
    wal, shm = beside(path)
    ways = []
    if os.access(path, os.W_OK):
        # SQLite creates what is missing and deletes it when the connection closes, unless that is read-only.
        ways.append("mode=ro" if wal.exists() and shm.exists() else "mode=rw")
    # Files that SQLite creates for another user would keep the owner of the catalog from writing.
    if wal.exists() and shm.exists():
        ways.append("mode=ro&readonly_shm=1")
    for way in ways:
        try:
            return _open_connection(path, way, CACHE_KIB // 8), None
        except IndexFolderError as error:
            if not str(error.__cause__).startswith(_CANNOT_COORDINATE):
                raise
            failure = failure or error
    if wal.exists() and wal.stat().st_size:
        raise IndexFolderError(
            f"{path}: the last changes are in {wal.name}, which SQLite cannot read here without {shm.name}; "
            "open the index once in a folder with write permission"
        ) from failure
    try:
        return _open_connection(path, "immutable=1", CACHE_KIB // 8), state
    except CorruptIndexError:
        raise
    except IndexFolderError as error:
        raise failure or error from None


def beside(path: Path) -> tuple[Path, Path]:
    """Return the files of SQLite beside a catalog: the log and its index in shared memory."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def read_state(path: Path) -> FileState:
    """Return what changes with the contents of a file.

    Raises:
        IndexFolderError: the file cannot be found.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise IndexFolderError(f"{path}: cannot be opened ({error.strerror}); check the permissions") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def require_unchanged(path: Path, state: FileState) -> None:
    """Check that a catalog that cannot be locked has not changed: a mixture of two commits would be a wrong answer.

    Raises:
        ChangedIndexError: it has changed.
    """
    if read_state(path) != state:
        raise ChangedIndexError(
            f"{path}: was changed while it was read without a lock, because this user may not write to the folder; "
            "open the index again"
        )


def _uri(path: Path, parameters: str) -> str:
    return f"{path.absolute().as_uri()}?{parameters}"


def _open_connection(path: Path, parameters: str, cache_kib: int) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            _uri(path, parameters), uri=True, isolation_level=None, check_same_thread=False, timeout=30
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    except SQLITE_ERRORS as error:
        raise translate_error(path, error) from error
    return connection


# Keys are the beginnings of SQLite's messages (sqlite3ErrStr). Other messages quote data and may hold any word.
_MESSAGES = {
    "database is locked": "is locked by another program ({}); try again",
    "database table is locked": "is locked by another program ({}); try again",
    "database or disk is full": "cannot be written ({}); make room, nothing was changed",
    "disk I/O error": "cannot be read or written ({}); check the disk and its room",
    "attempt to write a readonly database": "cannot be written ({}); choose a folder with write permission",
    "unable to open database file": "cannot be opened ({}); check the permissions of the file and its folder",
    "Cannot operate on a closed database": "was closed; open the index again",
}


def translate_error(path: Path, error: Exception) -> IndexFolderError:
    """Return the error that tells the user what an SQLite error means."""
    for beginning, message in _MESSAGES.items():
        if str(error).startswith(beginning):
            return IndexFolderError(f"{path}: {message.format(error)}")
    return CorruptIndexError(f"{path}: SQLite cannot read it ({error}); {RESTORE_CATALOG}")
