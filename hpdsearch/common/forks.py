"""Processes made by fork: a child makes again, or leaves alone, what it cannot share with its parent.

The child has a copy of the parent's memory, but none of its threads: a lock that another thread held stays locked, and
a library waits for its threads for ever. Freeing what the parent still uses may wait for them too, or damage it.
"""

import os
import sys
import threading
from collections.abc import Callable
from io import IOBase
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value that every process makes for itself; several threads may use it at once."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Take the function that makes the value at the first use in a process."""
        self._make = make
        self._value: T | None = None
        self._making = threading.Lock()
        _values.add(self)

    def get(self) -> T:
        """Return the value of this process."""
        if (value := self._value) is not None:
            return value
        with self._making:
            if self._value is None:
                self._value = self._make()
            return self._value

    def leave_to_parent(self) -> None:
        """Forget the parent's value in a child, without freeing it."""
        self._making = threading.Lock()
        if self._value is not None:
            keep_forever(self._value)
            self._value = None


_values: WeakSet[PerProcess[Any]] = WeakSet()
_files: WeakSet[IOBase] = WeakSet()
_inherited: set[str] = set()


def is_inherited(library: str) -> bool:
    """Tell whether a parent of this process had loaded a library before the fork: its threads are missing here."""
    return library in _inherited


def keep_forever(value: object) -> None:
    """Never free a value, not even when the interpreter ends."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def leave_file_to_parent(file: IOBase) -> None:
    """Let a forked child write nothing to a file: it would write the buffer once more, behind the parent's bytes."""
    _files.add(file)


def call_in_child(function: Callable[[], object]) -> None:
    """Call a function in every child at once after a fork; does nothing where there is no fork (Windows)."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


def _leave_all_to_parent() -> None:
    _inherited.update({"faiss", "torch"} & sys.modules.keys())
    _limit_threads()
    for value in list(_values):
        value.leave_to_parent()
    for file in list(_files):
        if not file.closed:
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), file.fileno(), inheritable=False)


def _limit_threads() -> None:
    """Let faiss and torch use the calling thread only. Their OpenMP (libgomp) waits for the parent's threads."""
    if (faiss := sys.modules.get("faiss")) is not None and hasattr(faiss, "omp_set_num_threads"):
        faiss.omp_set_num_threads(1)
        # A thread of the parent may have held its lock. Without it, Ctrl-C waits for the end of a faiss function.
        faiss.InterruptCallback.clear_instance()
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)
    if (tqdm := sys.modules.get("tqdm")) is not None and hasattr(tqdm, "tqdm"):
        tqdm.tqdm.set_lock(threading.RLock())  # its own lock is shared with the parent, which may hold it


call_in_child(_leave_all_to_parent)
