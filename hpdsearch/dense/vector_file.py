"""The vectors file: (n_rows, dim) float16, row-major, then a checksum for each row (docs/index-format.md).

A file is written once and read by rows or blocks. Every read compares the rows with their checksums, so that corrupt
bytes never become a score.
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
from hpdsearch.errors import RESTORE, CorruptIndexError, ShapeError

Checksums = npt.NDArray[np.uint32]

MAX_RESIDENT = 16 << 20  # bytes of the file that stay mapped in memory, approximately
FAULT_BYTES = 1 << 16  # the kernel maps so many bytes of a cached file when one of them is read
MAX_PREAD_ROWS = 512  # up to so many rows are read by pread: 0.8 microseconds a row; unmapped pages take 2.9
PIECE_ROWS = MAX_RESIDENT // FAULT_BYTES


def row_checksums(stored: Stored, positions: np.ndarray) -> Checksums:
    """Return the checksums (m,) of rows (m, dim) at these positions (m,) of their file.

    A checksum is (constant + position * odd number + the row's halfwords, each times an odd number of its own) modulo
    2^32. A change of a single halfword and a row in the wrong position are always detected, other changes with a
    probability of about 1 - 2^-32.
    """
    halfwords = stored.view("<u2").astype(np.uint32)
    offsets = positions.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(0x5BD1E995)
    checksums: Checksums = np.einsum("ij,j->i", halfwords, _multipliers(stored.shape[1])) + offsets
    return checksums


@cache
def _multipliers(dim: int) -> Checksums:
    """Return odd numbers (dim,): MurmurHash3's 32-bit finalizer (Appleby 2011) of 1, 2, 3, ..., made odd."""
    x = np.arange(1, dim + 1, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16)) | np.uint32(1)


class VectorWriter:
    """Writes a vectors file block by block; the file appears under its name when the `with` block ends without error.

    Attributes:
        path: the file.
        dim: dimensions of the vectors.
        n_rows: rows written so far.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim
        self.n_rows = 0
        self._digest = hashlib.sha256()
        self._checksums: list[Checksums] = []

    def __enter__(self) -> "VectorWriter":
        self._context = atomic_write(self.path)
        self._file = self._context.__enter__()
        return self

    def append(self, vectors: Matrix) -> None:
        """Write vectors (m, dim), unit length, as float16.

        Raises:
            ShapeError: another shape, or a value that is not finite.
        """
        require_matrix(vectors, name="vectors", dim=self.dim)
        self.append_stored(vectors.astype("<f2"))

    def append_stored(self, stored: Stored) -> None:
        """Write rows (m, dim), float16, that were read from another vectors file, bit for bit.

        Raises:
            ShapeError: another shape or dtype.
        """
        if stored.ndim != 2 or stored.shape[1] != self.dim or stored.dtype != np.dtype("<f2"):
            raise ShapeError(f"stored: expected float16 (m, {self.dim}), got {stored.dtype} {stored.shape}")
        stored = np.ascontiguousarray(stored)
        self._write(stored.tobytes())
        self._checksums.append(row_checksums(stored, np.arange(self.n_rows, self.n_rows + len(stored))))
        self.n_rows += len(stored)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            try:
                for checksums in self._checksums:
                    self._write(checksums.astype("<u4").tobytes())
            except BaseException as failure:
                self._context.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._context.__exit__(kind, error, tb)

    @property
    def size_bytes(self) -> int:
        """Size of the finished file."""
        return self.n_rows * (self.dim * 2 + 4)

    @property
    def sha256(self) -> str:
        """sha256 of the finished file, in hexadecimal."""
        return self._digest.hexdigest()


class VectorFile:
    """A vectors file, open for reading; safe to use from several threads.

    About MAX_RESIDENT bytes of the file stay mapped, however much is read. Positions are 0 <= position < n_rows. Every
    method that reads rows raises CorruptIndexError if one does not match its checksum.
    """

    def __init__(self, path: Path, n_rows: int, dim: int) -> None:
        """Open a file of n_rows vectors with dim dimensions.

        Raises:
            CorruptIndexError: the file is missing or has another size.
        """
        self.path = path
        self.n_rows = n_rows
        self.dim = dim
        vector_bytes = n_rows * dim * 2
        expected = vector_bytes + 4 * n_rows
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as error:
            raise CorruptIndexError(f"{path}: the vectors file is missing; {RESTORE}") from error
        weakref.finalize(self, os.close, descriptor)
        size = os.fstat(descriptor).st_size
        if size != expected:
            raise CorruptIndexError(f"{path}: expected {expected} bytes, got {size}; {RESTORE}")
        self._descriptor = descriptor
        self._file = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else None
        self._map = np.frombuffer(self._file or b"", "<f2", n_rows * dim).reshape(n_rows, dim)
        self._checksums = np.frombuffer(self._file or b"", "<u4", n_rows, vector_bytes if n_rows else 0)
        self._n_mapped = 0

    def rows(self, positions: np.ndarray) -> Matrix:
        """Return the vectors (m, dim), float32 of unit length, at these positions (m,)."""
        return unit_rows(self.stored_rows(positions))

    def stored_rows(self, positions: np.ndarray) -> Stored:
        """Return the vectors (m, dim), float16 as stored, at these positions (m,)."""
        use_pread = len(positions) <= MAX_PREAD_ROWS and self._map.nbytes > MAX_RESIDENT and hasattr(os, "pread")
        stored = self._pread_rows(positions) if use_pread else self._gather_rows(positions)
        self._verify_rows(stored, positions)
        return stored

    def stored(self, start: int, end: int) -> Stored:
        """Return the vectors (end - start, dim), float16 as stored, at start <= position < end."""
        positions = np.arange(start, end)
        stored = self._map[start:end].copy()
        self._count_mapped(stored.nbytes)
        self._verify_rows(stored, positions)
        return stored

    def block(self, start: int, end: int) -> Matrix:
        """Return the vectors (end - start, dim), float32 of unit length, at start <= position < end."""
        return unit_rows(self.stored(start, end))

    def release(self) -> None:
        """Release the mapped memory; reading again is possible."""
        self._n_mapped = 0
        if self._file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)

    def _pread_rows(self, positions: np.ndarray) -> Stored:
        size = self.dim * 2
        rows = [os.pread(self._descriptor, size, start) for start in (positions * size).tolist()]
        return np.frombuffer(b"".join(rows), "<f2").reshape(len(positions), self.dim)

    def _gather_rows(self, positions: np.ndarray) -> Stored:
        stored = np.empty((len(positions), self.dim), "<f2")
        for start in range(0, len(positions), PIECE_ROWS):
            piece = positions[start : start + PIECE_ROWS]
            stored[start : start + PIECE_ROWS] = self._map[piece]
            span = (int(piece.max()) - int(piece.min()) + 1) * self.dim * 2
            self._count_mapped(min(span, len(piece) * FAULT_BYTES))
        return stored

    def _count_mapped(self, n_bytes: int) -> None:
        self._n_mapped += n_bytes
        if self._n_mapped > MAX_RESIDENT < self._map.nbytes:
            self.release()

    def _verify_rows(self, stored: Stored, positions: np.ndarray) -> None:
        wrong = row_checksums(stored, positions) != self._checksums[positions]
        if wrong.any():
            position = positions[wrong.argmax()]
            raise CorruptIndexError(f"{self.path}: row {position} does not match its checksum; {RESTORE}")
