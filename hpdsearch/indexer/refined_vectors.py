"""The file that collects refined vectors until a commit publishes them: what is in it is not encoded again.

Each entry holds a row, its vector in float16 and the checksum of both. A process that dies leaves at most one torn
block at the end, which the next one cuts off.
"""

import os
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows, Stored, require_matrix

CHECKED_ENTRIES = 65_536  # entries in memory while a file is checked


class RefinedVectors:
    """Appends vectors durably and looks them up by row.

    Attributes:
        path: the file.
        dim: dimensions of a vector.
    """

    def __init__(self, path: Path, dim: int) -> None:
        """Open the file, or create it, and cut off what a dead process has not finished."""
        self.path = path
        self.dim = dim
        self._type = np.dtype([("row", "<i8"), ("vector", "<f2", (dim,)), ("sum", "<u4")])
        self._file = path.open("ab+")
        self._rows = self._check()
        self._sort()

    def _check(self) -> Rows:
        """Return the row of each intact entry and truncate the file behind them."""
        rows: list[int] = []
        self._file.seek(0)
        while data := self._file.read(CHECKED_ENTRIES * self._type.itemsize):
            entries = np.frombuffer(data[: len(data) // self._type.itemsize * self._type.itemsize], self._type)
            is_intact = _checksums(entries) == entries["sum"]
            n_intact = len(entries) if is_intact.all() else int(np.argmin(is_intact))
            rows += entries["row"][:n_intact].tolist()
            if n_intact < CHECKED_ENTRIES:
                break
        self._file.truncate(len(rows) * self._type.itemsize)
        return np.array(rows, np.int64)

    def append(self, rows: Rows, vectors: Matrix) -> None:
        """Append vectors (m, dim), float32, of rows (m,); they are on the disk afterwards."""
        require_matrix(vectors, name="vectors", dim=self.dim)
        entries = np.zeros(len(rows), self._type)
        entries["row"] = rows
        entries["vector"] = vectors
        entries["sum"] = _checksums(entries)
        self._file.write(entries.tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._rows = np.concatenate([self._rows, rows])
        self._sort()

    def _sort(self) -> None:
        self._order = np.argsort(self._rows, kind="stable")
        self._sorted = self._rows[self._order]

    def contains(self, rows: Rows) -> Mask:
        """Tell for each of the rows (n,) whether its vector is here."""
        positions = np.minimum(np.searchsorted(self._sorted, rows), max(len(self._sorted) - 1, 0))
        mask: Mask = self._sorted[positions] == rows if len(self._sorted) else np.zeros(len(rows), bool)
        return mask

    def replace(self, rows: Rows, stored: Stored) -> Stored:
        """Return the vectors (n, dim) of rows (n,), with those that are here in the place of the given ones."""
        found = self.contains(rows)
        if not found.any():
            return stored
        entries = np.memmap(self.path, self._type, mode="r", shape=(len(self._rows),))
        replaced = stored.copy()
        replaced[found] = entries["vector"][self._order[np.searchsorted(self._sorted, rows[found])]]
        return replaced

    def __enter__(self) -> "RefinedVectors":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()


def _checksums(entries: np.ndarray) -> np.ndarray:
    """Return the checksum of each entry's row and vector, uint32 (n,)."""
    data = memoryview(entries.tobytes())
    size = entries.dtype.itemsize
    starts = range(0, len(data), size)
    return np.fromiter((zlib.crc32(data[start : start + size - 4]) for start in starts), np.uint32, len(entries))
