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

CHECKED_ENTRIES = 65_536  # entries in memory while a file is checked


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
        self._keys = self._check()
        self._sort()

    def _check(self) -> Rows:
        """Return the key of each intact entry and truncate the file behind them."""
        keys: list[int] = []
        self._file.seek(0)
        while data := self._file.read(CHECKED_ENTRIES * self._type.itemsize):
            entries = np.frombuffer(data[: len(data) // self._type.itemsize * self._type.itemsize], self._type)
            is_intact = _checksums(entries) == entries["sum"]
            n_intact = len(entries) if is_intact.all() else int(np.argmin(is_intact))
            keys += entries["key"][:n_intact].tolist()
            if n_intact < CHECKED_ENTRIES:
                break
        self._file.truncate(len(keys) * self._type.itemsize)
        return np.array(keys, np.int64)

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
        self._keys = np.concatenate([self._keys, keys])
        self._sort()

    def _sort(self) -> None:
        self._order = np.argsort(self._keys, kind="stable")
        self._sorted = self._keys[self._order]

    def contains(self, keys: Rows) -> Mask:
        """Tell for each of the keys (n,) whether its vector is here."""
        positions = np.minimum(np.searchsorted(self._sorted, keys), max(len(self._sorted) - 1, 0))
        mask: Mask = self._sorted[positions] == keys if len(self._sorted) else np.zeros(len(keys), bool)
        return mask

    def replace(self, keys: Rows, stored: Stored) -> Stored:
        """Return the vectors (n, dim) of keys (n,), with those that are here in the place of the given ones."""
        found = self.contains(keys)
        if not found.any():
            return stored
        entries = np.memmap(self.path, self._type, mode="r", shape=(len(self._keys),))
        replaced = stored.copy()
        replaced[found] = entries["vector"][self._order[np.searchsorted(self._sorted, keys[found])]]
        return replaced

    def __enter__(self) -> "VectorLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):  # a full disk: `append` has raised the error
            self._file.close()
        if not len(self._keys):
            self.path.unlink(missing_ok=True)


def _checksums(entries: np.ndarray) -> np.ndarray:
    """Return the checksum of each entry's key and vector, uint32 (n,)."""
    data = memoryview(entries.tobytes())
    size = entries.dtype.itemsize
    starts = range(0, len(data), size)
    return np.fromiter((zlib.crc32(data[start : start + size - 4]) for start in starts), np.uint32, len(entries))
