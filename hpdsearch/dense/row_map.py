"""Map the positions of a segment to rows of the index: all rows of a span, or those that a merge kept."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Mask, Rows
from hpdsearch.errors import RESTORE_CATALOG, CorruptIndexError


@dataclass(frozen=True)
class RowMap:
    """The rows of a segment, ascending. The position of a row is its rank among them, and its rank in the vectors file.

    Attributes:
        first_row: first row of the span.
        end_row: the row after the span's last one.
        offsets: (n_rows,) uint32, ascending: row - first_row by position; None: the segment holds the whole span.
    """

    first_row: int
    end_row: int
    offsets: npt.NDArray[np.uint32] | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.end_row - self.first_row if self.offsets is None else len(self.offsets)

    @classmethod
    def from_rows(cls, first_row: int, end_row: int, rows: Rows) -> "RowMap":
        """Return the map of these rows (n,), ascending, inside the span."""
        if len(rows) == end_row - first_row:
            return cls(first_row, end_row)
        return cls(first_row, end_row, (rows - first_row).astype(np.uint32))

    def rows(self, positions: Rows) -> Rows:
        """Return the rows at these positions, in the shape of the positions."""
        offsets = positions if self.offsets is None else self.offsets[positions].astype(np.int64)
        return offsets + self.first_row

    def all_rows(self) -> Rows:
        """Return every row of the segment (n_rows,), ascending."""
        return self.rows(np.arange(self.n_rows))

    def contains(self, rows: Rows) -> Mask:
        """Return which of these rows (m,) the segment holds: (m,)."""
        inside = (rows >= self.first_row) & (rows < self.end_row)
        if self.offsets is not None and len(rows):
            nearest = np.minimum(np.searchsorted(self.offsets, rows - self.first_row), max(len(self.offsets) - 1, 0))
            inside &= self.offsets[nearest] == rows - self.first_row if len(self.offsets) else False
        return inside

    def positions(self, rows: Rows) -> Rows:
        """Return the positions of those of the rows (m,) that the segment holds, in the order of the rows."""
        offsets = rows[self.contains(rows)] - self.first_row
        return offsets if self.offsets is None else np.searchsorted(self.offsets, offsets).astype(np.int64)

    def mask(self, rows: Rows) -> Mask:
        """Return which positions hold one of these rows: (n_rows,)."""
        mask = np.zeros(self.n_rows, bool)
        mask[self.positions(rows)] = True
        return mask

    def to_bytes(self) -> bytes:
        """Return one bit for each row of the span, lowest bit first, compressed by zlib; empty for the whole span."""
        if self.offsets is None:
            return b""
        bits = np.zeros(self.end_row - self.first_row, bool)
        bits[self.offsets] = True
        return zlib.compress(np.packbits(bits, bitorder="little").tobytes(), 1)

    @classmethod
    def from_bytes(cls, first_row: int, end_row: int, n_rows: int, data: bytes) -> "RowMap":
        """Return the map that `to_bytes` wrote.

        Raises:
            CorruptIndexError: the data are no map of n_rows rows of the span.
        """
        span = f"rows {first_row}..{end_row - 1}"
        if not data:
            found = cls(first_row, end_row)
        else:
            try:
                bits = np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8), bitorder="little")
            except zlib.error as error:
                message = f"{span}: cannot decompress the row map in the catalog ({error}); {RESTORE_CATALOG}"
                raise CorruptIndexError(message) from error
            found = cls(first_row, end_row, np.flatnonzero(bits[: end_row - first_row]).astype(np.uint32))
        if found.n_rows != n_rows:
            message = f"{span}: expected {n_rows} rows in the segment, got {found.n_rows}; {RESTORE_CATALOG}"
            raise CorruptIndexError(message)
        return found
