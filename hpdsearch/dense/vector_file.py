"""The vectors file: (rows, dim) float16, row-major, then a sum of each row; written once, read row by row or in blocks.

Every row that is read is checked against its sum, each time: damage is found before it becomes a score.
"""

import hashlib
import mmap
import os
import weakref
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from hpdsearch.common.files import atomic_write
from hpdsearch.common.vectors import Matrix, Stored, require_matrix, unit_rows
from hpdsearch.errors import CorruptIndexError, ShapeError

Sums = npt.NDArray[np.uint32]

MAX_RESIDENT = 16 << 20  # bytes of the file that stay mapped in memory, about
FAULT_BYTES = 1 << 16  # the kernel maps that much of a cached file when one byte of it is touched
FEW_ROWS = 512  # so few rows are read by pread: 0.8 microseconds a row, where touching unmapped pages takes 2.9
PIECE_ROWS = MAX_RESIDENT // FAULT_BYTES


def row_checksums(stored: Stored, positions: np.ndarray) -> Sums:
    """Return the sums (m,) of rows (m, dim) that stand at these positions (m,) of their file.

    sum = (constant + position * odd number + the row's 16-bit words, each times its own odd number) modulo 2^32. So a
    change of any one word and a row in another row's place are always found, other damage but for about one in 2^32.
    """
    words = stored.view("<u2").astype(np.uint32)
    places = positions.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(0x5BD1E995)
    sums: Sums = np.einsum("ij,j->i", words, _multipliers(stored.shape[1])) + places
    return sums


@cache
def _multipliers(dim: int) -> Sums:
    """Return dim odd numbers: murmur3's finalizer of 1, 2, 3, ..., made odd."""
    x = np.arange(1, dim + 1, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16)) | np.uint32(1)


class VectorWriter:
    """Writes a vectors file block by block; it appears in its place when the `with` block ends well.

    After the block: n_rows; size_bytes and sha256 of the file.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        self.n_rows = 0
        self._digest = hashlib.sha256()
        self._sums: list[Sums] = []

    def __enter__(self) -> "VectorWriter":
        self._publishing = atomic_write(self.path)
        self._file = self._publishing.__enter__()
        return self

    def append(self, vectors: Matrix) -> None:
        """Write the rows of vectors (m, dim), of unit length: float16 holds nothing beyond 65,504."""
        require_matrix(vectors, name="vectors", dim=self.dim)
        self.append_stored(vectors.astype("<f2"))

    def append_stored(self, stored: Stored) -> None:
        """Write rows (m, dim) that were read from another vectors file, bit for bit."""
        if stored.ndim != 2 or stored.shape[1] != self.dim or stored.dtype != np.dtype("<f2"):
            raise ShapeError(f"stored: expected float16 (m, {self.dim}), got {stored.dtype} {stored.shape}")
        stored = np.ascontiguousarray(stored)
        self._write(stored.tobytes())
        self._sums.append(row_checksums(stored, np.arange(self.n_rows, self.n_rows + len(stored))))
        self.n_rows += len(stored)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            try:
                for sums in self._sums:
                    self._write(sums.astype("<u4").tobytes())
            except BaseException as failure:
                self._publishing.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._publishing.__exit__(kind, error, tb)

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.n_rows * (self.dim * 2 + 4)

    @property
    def sha256(self) -> str:
        """Sum of the whole file, in hexadecimal."""
        return self._digest.hexdigest()


class VectorFile:
    """A vectors file opened for reading; safe to use from several threads.

    Whatever is read, about MAX_RESIDENT bytes of the file stay mapped. Positions are 0 <= position < n_rows.
    """

    def __init__(self, path: Path, n_rows: int, dim: int) -> None:
        self.path, self.n_rows, self.dim = path, n_rows, dim
        vector_bytes = n_rows * dim * 2
        expected = vector_bytes + 4 * n_rows
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as error:
            raise CorruptIndexError(
                f"{path}: the vectors file is missing; restore it, or index again with --overwrite"
            ) from error
        weakref.finalize(self, os.close, descriptor)
        size = os.fstat(descriptor).st_size
        if size != expected:
            raise CorruptIndexError(
                f"{path}: expected {expected} bytes, got {size}; restore the file, or index again with --overwrite"
            )
        self._descriptor = descriptor
        self._file = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else None
        self._map = np.frombuffer(self._file or b"", "<f2", n_rows * dim).reshape(n_rows, dim)
        self._sums = np.frombuffer(self._file or b"", "<u4", n_rows, vector_bytes if n_rows else 0)
        self._touched = 0

    def rows(self, positions: np.ndarray) -> Matrix:
        """Return the vectors (m, dim), of unit length, at these positions (m,)."""
        return unit_rows(self.stored_rows(positions))

    def stored_rows(self, positions: np.ndarray) -> Stored:
        """Return the vectors (m, dim) at these positions (m,) as they are stored, checked."""
        few = len(positions) <= FEW_ROWS and self._map.nbytes > MAX_RESIDENT and hasattr(os, "pread")
        stored = self._read(positions) if few else self._gathered(positions)
        self._check(stored, positions)
        return stored

    def stored(self, start: int, end: int) -> Stored:
        """Return the vectors (end - start, dim) at start <= position < end as they are stored, checked."""
        positions = np.arange(start, end)
        stored = self._map[start:end].copy()
        self._touch(stored.nbytes)
        self._check(stored, positions)
        return stored

    def block(self, start: int, end: int) -> Matrix:
        """Return the vectors (end - start, dim), of unit length, at start <= position < end."""
        return unit_rows(self.stored(start, end))

    def release(self) -> None:
        """Let go of the memory that holds what was read; reading again is possible."""
        self._touched = 0
        if self._file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)

    def _read(self, positions: np.ndarray) -> Stored:
        size = self.dim * 2
        rows = [os.pread(self._descriptor, size, start) for start in (positions * size).tolist()]
        return np.frombuffer(b"".join(rows), "<f2").reshape(len(positions), self.dim)

    def _gathered(self, positions: np.ndarray) -> Stored:
        stored = np.empty((len(positions), self.dim), "<f2")
        for start in range(0, len(positions), PIECE_ROWS):
            piece = positions[start : start + PIECE_ROWS]
            stored[start : start + PIECE_ROWS] = self._map[piece]
            span = (int(piece.max()) - int(piece.min()) + 1) * self.dim * 2
            self._touch(min(span, len(piece) * FAULT_BYTES))
        return stored

    def _touch(self, n_bytes: int) -> None:
        self._touched += n_bytes
        if self._touched > MAX_RESIDENT < self._map.nbytes:
            self.release()

    def _check(self, stored: Stored, positions: np.ndarray) -> None:
        wrong = row_checksums(stored, positions) != self._sums[positions]
        if wrong.any():
            raise CorruptIndexError(
                f"{self.path}: row {positions[wrong.argmax()]} is not what was written; "
                "restore it, or index again with --overwrite"
            )
