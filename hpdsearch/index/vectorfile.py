"""The vectors file: (rows, dim) float16, row-major, written once, read through a memory map.

A checksum for each block of rows lets a reader trust what it touches without reading the whole file.
"""

import hashlib
import mmap
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np

from hpdsearch.errors import DamagedError
from hpdsearch.files import published
from hpdsearch.vectors import Matrix, require_matrix, unit_rows

BLOCK_ROWS = 64


class VectorWriter:
    """Writes a vectors file block by block; it appears in its place when the `with` block ends well.

    After the block: n_rows; size_bytes; sha256 of the file; block_sums, the crc32 of each BLOCK_ROWS rows as
    little-endian uint32.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        self.n_rows = 0
        self._digest = hashlib.sha256()
        self._crcs: list[int] = []
        self._rest = b""  # bytes of the block that is not full yet

    def __enter__(self) -> "VectorWriter":
        self._publishing = published(self.path)
        self._file = self._publishing.__enter__()
        return self

    def append(self, vectors: Matrix) -> None:
        """Write the rows of vectors (m, dim), of unit length: float16 holds nothing beyond 65,504."""
        require_matrix(vectors, name="vectors", dim=self.dim)
        data = vectors.astype("<f2").tobytes()
        self._file.write(data)
        self._digest.update(data)
        self.n_rows += len(vectors)
        self._rest += data
        block_bytes = BLOCK_ROWS * self.dim * 2
        whole = len(self._rest) - len(self._rest) % block_bytes
        self._crcs += [zlib.crc32(self._rest[at : at + block_bytes]) for at in range(0, whole, block_bytes)]
        self._rest = self._rest[whole:]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._publishing.__exit__(kind, error, tb)

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.n_rows * self.dim * 2

    @property
    def sha256(self) -> str:
        """Sum of the whole file, in hexadecimal."""
        return self._digest.hexdigest()

    @property
    def block_sums(self) -> bytes:
        """crc32 of each block of BLOCK_ROWS rows, the last one possibly shorter; little-endian uint32."""
        last = [zlib.crc32(self._rest)] if self._rest else []
        return np.array(self._crcs + last, "<u4").tobytes()


class VectorFile:
    """A vectors file opened for reading; every block is checked when it is first touched."""

    def __init__(self, path: Path, n_rows: int, dim: int, block_sums: bytes) -> None:
        self.path, self.n_rows, self.dim = path, n_rows, dim
        expected = n_rows * dim * 2
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise DamagedError(
                f"{path}: the vectors file is missing; restore it, or index again with --overwrite"
            ) from error
        if size != expected:
            raise DamagedError(
                f"{path}: expected {expected} bytes, got {size}; restore the file, or index again with --overwrite"
            )
        n_blocks = -(-n_rows // BLOCK_ROWS)
        if len(block_sums) != 4 * n_blocks:
            got = f"{len(block_sums)} bytes of sums for {n_rows} rows, expected {4 * n_blocks}"
            raise DamagedError(f"{path}: the catalog holds {got}; index again with --overwrite")
        self._sums = np.frombuffer(block_sums, "<u4")
        self._file = _mapped(path) if n_rows else None
        self._map = np.frombuffer(self._file or b"", "<f2").reshape(n_rows, dim)
        self._trusted = np.zeros(len(self._sums), bool)

    def rows(self, rows: np.ndarray) -> Matrix:
        """Return the vectors (m, dim), of unit length, of these rows (m,) of the file."""
        blocks = np.unique(rows // BLOCK_ROWS)
        for block in blocks[~self._trusted[blocks]]:
            self._check(int(block))
        return unit_rows(self._map[rows])

    def block(self, start: int, end: int) -> Matrix:
        """Return the vectors (end - start, dim), of unit length, of rows start <= row < end."""
        for block in range(start // BLOCK_ROWS, -(-end // BLOCK_ROWS)):
            self._check(block)
        return unit_rows(self._map[start:end])

    def release(self) -> None:
        """Let go of the memory that holds what was read; reading again is possible and reads from disk."""
        if self._file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)

    def _check(self, block: int) -> None:
        if self._trusted[block]:
            return
        start = block * BLOCK_ROWS
        if zlib.crc32(self._map[start : start + BLOCK_ROWS].tobytes()) != self._sums[block]:
            raise DamagedError(
                f"{self.path}: rows {start}.. are not what was written; restore it, or index again with --overwrite"
            )
        self._trusted[block] = True


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
