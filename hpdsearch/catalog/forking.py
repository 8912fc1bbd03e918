"""Catalogs across a fork: no thread is inside SQLite while the process forks, and the child gives up all connections.

SQLite counts its file locks per process, and a child inherits the counts without the locks
(sqlite.org/howtocorrupt.html, section 2.6). A connection that the child opens has locks of its own only
if no inherited one is open.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from hpdsearch.catalog.connection import close_with_checkpoint
from hpdsearch.errors import IndexFolderError

if TYPE_CHECKING:
    from hpdsearch.catalog.reader import Catalog

C = TypeVar("C", bound="Catalog")

_catalogs: "WeakSet[Catalog]" = WeakSet()
_held: "list[Catalog]" = []  # the catalogs whose locks a forking thread holds
_forking = threading.RLock()
_opening = threading.RLock()  # held while a connection is opened or closed
_written: set[Path] = set()  # catalogs that this process has written, and whose commits may be in the log
_refused: set[tuple[int, int]] = set()  # device and inode


def open_catalog(path: Path, connect: Callable[[], C]) -> C:
    """Open a connection that forks know about.

    Raises:
        IndexFolderError: the parent of this process was writing to the catalog when it forked.
    """
    if _refused and path.exists() and _identify(path) in _refused:
        raise IndexFolderError(
            f"{path}: this process was forked while its parent was writing to the index, and SQLite cannot open it "
            "here; fork before the change begins or after it ends, or start the process by spawn or forkserver"
        )
    with _opening:
        catalog = connect()
        _catalogs.add(catalog)
    return catalog


def close_connection(path: Path, connection: sqlite3.Connection, *, may_have_written: bool) -> None:
    """Close a connection, but not while the process forks.

    The last one of the process makes a checkpoint if the process has written: an open snapshot would prevent it.
    """
    with _opening:
        if may_have_written:
            _written.add(path)
        is_last = not any(catalog.is_open and catalog.path == path for catalog in list(_catalogs))
        if is_last and path in _written:
            _written.remove(path)
            close_with_checkpoint(path, connection)
        else:
            connection.close()


def refuse_after_fork(path: Path) -> None:
    """Refuse to open a catalog in this process, because SQLite counts locks here that the parent holds."""
    if path.exists():
        _refused.add(_identify(path))


def _identify(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _wait_for_sqlite() -> None:
    """Take the locks of all catalogs. `_opening` comes last: a thread may close a connection in a locked catalog."""
    _forking.acquire()
    while True:
        for catalog in list(_catalogs):
            if catalog not in _held:
                catalog.lock.acquire()
                _held.append(catalog)
        _opening.acquire()
        if all(catalog in _held for catalog in list(_catalogs)):
            return
        _opening.release()


def _go_on() -> None:
    _opening.release()
    while _held:
        _held.pop().lock.release()
    _forking.release()


def _leave_all_to_parent() -> None:
    global _forking, _opening
    _forking = threading.RLock()
    _opening = threading.RLock()
    _held.clear()
    _written.clear()
    for catalog in list(_catalogs):
        catalog.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_sqlite, after_in_parent=_go_on, after_in_child=_leave_all_to_parent)
