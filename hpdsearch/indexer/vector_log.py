"""The file that collects encoded vectors until a commit publishes them: what is in it is not encoded again.

Each entry holds a key (the row, while a draft is refined), its vector in float16 and the checksum of both. A process
that dies leaves at most one torn block at the end, which the next one cuts off.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows, Stored, require_matrix
from hpdsearch.errors import IndexFolderError

CHECKED_ENTRIES = 16_384  # entries in memory while a file is checked
NONE = -1  # entry of a key that has none


class VectorLog:
    """Appends vectors durably and looks them up by their keys, which are integers.

    Attributes:
        path: the file.
        dim: dimensions of a vector.
    """

    def __init__(self, path: Path, dim: int) -> None:
        """Open the file, or create it, and cut off what a dead process has not finished."""
        self.path = path
        self.dim = dim
        self._type = np.dtype([("key", "<i8"), ("vector", "<f2", (dim,)), ("sum", "<u4")])
        self._file = path.open("ab+")
        self._n_entries = 0
        self._runs: list[tuple[Rows, Rows]] = []  # sorted keys and their entries; each run is longer than the next
        self._check()

    def _check(self) -> None:
        """Register the intact entries and truncate the file behind them."""
        self._file.seek(0)
        while data := self._file.read(CHECKED_ENTRIES * self._type.itemsize):
            entries = np.frombuffer(data[: len(data) // self._type.itemsize * self._type.itemsize], self._type)
            is_intact = _checksums(entries) == entries["sum"]
            n_intact = len(entries) if is_intact.all() else int(np.argmin(is_intact))
            self._register(entries["key"][:n_intact])
            if n_intact < CHECKED_ENTRIES:
                break
        self._file.truncate(self._n_entries * self._type.itemsize)

    def append(self, keys: Rows, vectors: Matrix | Stored) -> None:
        """Append vectors (m, dim) with keys (m,); they are on the disk afterwards, in float16.

        Raises:
            IndexFolderError: the disk is full or cannot be written.
        """
        require_matrix(vectors, name="vectors", dim=self.dim)
        entries = np.zeros(len(keys), self._type)
        entries["key"] = keys
        entries["vector"] = vectors
        entries["sum"] = _checksums(entries)
        try:
            self._file.write(entries.tobytes())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise IndexFolderError(
                f"{self.path}: cannot be written ({error.strerror}); make room or check the disk, then go on with the "
                "same command"
            ) from error
        self._register(keys)

    def _register(self, keys: Rows) -> None:
        """Record the keys (m,) of the next entries, and merge runs of similar length: sorting all would take longer."""
        if not len(keys):
            return
        run = _sort_run(keys, np.arange(self._n_entries, self._n_entries + len(keys)))
        self._n_entries += len(keys)
        while self._runs and len(self._runs[-1][0]) <= len(run[0]):
            older = self._runs.pop()
            run = _sort_run(np.concatenate([older[0], run[0]]), np.concatenate([older[1], run[1]]))
        self._runs.append(run)

    def contains(self, keys: Rows) -> Mask:
        """Tell for each of the keys (n,) whether its vector is here."""
        mask: Mask = self._find(keys) != NONE
        return mask

    def _find(self, keys: Rows) -> Rows:
        """Return the entry (n,) of each of the keys (n,), or NONE; of several entries the first one."""
        found = np.full(len(keys), NONE)
        for sorted_keys, entries in reversed(self._runs):
            places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
            is_here = sorted_keys[places] == keys
            found[is_here] = entries[places[is_here]]
        return found

    def replace(self, keys: Rows, stored: Stored) -> Stored:
        """Return the vectors (n, dim) of keys (n,), with those that are here in the place of the given ones."""
        found = self._find(keys)
        is_here = found != NONE
        if not is_here.any():
            return stored
        entries = np.memmap(self.path, self._type, mode="r", shape=(self._n_entries,))
        replaced = stored.copy()
        replaced[is_here] = entries["vector"][found[is_here]]
        return replaced

    def __enter__(self) -> "VectorLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):  # a full disk: `append` has raised the error
            self._file.close()
        if not self._n_entries:
            self.path.unlink(missing_ok=True)


def _sort_run(keys: Rows, entries: Rows) -> tuple[Rows, Rows]:
    """Sort by key; entries of equal keys keep their order."""
    order = np.argsort(keys, kind="stable")
    return keys[order], entries[order]


def _checksums(entries: np.ndarray) -> np.ndarray:
    """Return the checksum of each entry's key and vector, uint32 (n,)."""
    data = memoryview(entries.tobytes())
    size = entries.dtype.itemsize
    starts = range(0, len(data), size)
    return np.fromiter((zlib.crc32(data[start : start + size - 4]) for start in starts), np.uint32, len(entries))
