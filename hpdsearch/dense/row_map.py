"""Which index-wide rows a segment holds: all of a span, or those of it that a merge kept."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Mask, Rows
from hpdsearch.errors import CorruptIndexError


@dataclass(frozen=True)
class RowMap:
    """The rows of a segment, ascending; a position is a row's place among them and in the vectors file.

    Attributes:
        first_row: the span begins here and ends before end_row.
        offsets: (n_rows,) uint32, ascending: row - first_row by position; None: the span has no gaps.
    """

    first_row: int
    end_row: int
    offsets: npt.NDArray[np.uint32] | None = None

    @property
    def n_rows(self) -> int:
        """Rows held."""
        return self.end_row - self.first_row if self.offsets is None else len(self.offsets)

    @classmethod
    def from_rows(cls, first_row: int, end_row: int, rows: Rows) -> "RowMap":
        """Return the map of these rows (n,), ascending, inside the span."""
        if len(rows) == end_row - first_row:
            return cls(first_row, end_row)
        return cls(first_row, end_row, (rows - first_row).astype(np.uint32))

    def rows(self, positions: Rows) -> Rows:
        """Return the rows at these positions (any shape)."""
        offsets = positions if self.offsets is None else self.offsets[positions].astype(np.int64)
        return offsets + self.first_row

    def all_rows(self) -> Rows:
        """Return every row held (n_rows,), ascending."""
        return self.rows(np.arange(self.n_rows))

    def contains(self, rows: Rows) -> Mask:
        """Tell which of these rows (m,) are held."""
        inside = (rows >= self.first_row) & (rows < self.end_row)
        if self.offsets is not None and len(rows):
            nearest = np.minimum(np.searchsorted(self.offsets, rows - self.first_row), max(len(self.offsets) - 1, 0))
            inside &= self.offsets[nearest] == rows - self.first_row if len(self.offsets) else False
        return inside

    def positions(self, rows: Rows) -> Rows:
        """Return the positions of those of the rows (m,) that are held, in their order."""
        offsets = rows[self.contains(rows)] - self.first_row
        return offsets if self.offsets is None else np.searchsorted(self.offsets, offsets).astype(np.int64)

    def mask(self, rows: Rows) -> Mask:
        """Return which positions (n_rows,) hold one of these rows."""
        mask = np.zeros(self.n_rows, bool)
        mask[self.positions(rows)] = True
        return mask

    def to_bytes(self) -> bytes:
        """Return a bit a row of the span, little-endian, compressed; nothing if all are held."""
        if self.offsets is None:
            return b""
        bits = np.zeros(self.end_row - self.first_row, bool)
        bits[self.offsets] = True
        return zlib.compress(np.packbits(bits, bitorder="little").tobytes(), 1)

    @classmethod
    def from_bytes(cls, first_row: int, end_row: int, n_rows: int, data: bytes) -> "RowMap":
        """Read what `to_bytes` wrote.

        Raises:
            CorruptIndexError: the bits are not n_rows rows of the span.
        """
        if not data:
            found = cls(first_row, end_row)
        else:
            try:
                bits = np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8), bitorder="little")
            except zlib.error as error:
                raise CorruptIndexError(
                    f"rows {first_row}..{end_row - 1}: the map of the segment is unreadable"
                ) from error
            found = cls(first_row, end_row, np.flatnonzero(bits[: end_row - first_row]).astype(np.uint32))
        if found.n_rows != n_rows:
            raise CorruptIndexError(f"rows {first_row}..{end_row - 1}: expected {n_rows} of them, got {found.n_rows}")
        return found
