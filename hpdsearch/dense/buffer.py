"""The buffered vectors, which the catalog holds until a vectors file is written; they are searched like a segment."""

import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows, Scores, Stored, cosines, unit_rows
from hpdsearch.dense.operating_points import OperatingPoint, OperatingPoints
from hpdsearch.dense.row_map import RowMap


class BufferedVectors:
    """Scores every buffered vector exactly; has the methods of Segment that searches use."""

    def __init__(self, rows: Rows, stored: Stored) -> None:
        """Take rows (n,), ascending, n >= 1, and their vectors (n, dim), float16."""
        self.rows = RowMap.from_rows(int(rows[0]), int(rows[-1]) + 1, rows)
        self.n_rows = len(rows)
        self.operating_points: OperatingPoints | None = None
        self.memory_bytes = stored.nbytes
        self._stored = stored

    def nearest(
        self,
        queries: Matrix,
        n: int,
        *,
        allowed: Mask | None = None,
        point: OperatingPoint | None = None,
        expansion: int = 1,
    ) -> tuple[Rows, Scores]:
        """Score all allowed rows; n, point and expansion have no effect.

        Returns:
            rows (m, n_allowed) and cosines (m, n_allowed), best first, equal ones by row.
        """
        positions = np.arange(self.n_rows) if allowed is None else np.flatnonzero(allowed)
        scores = np.stack([cosines(query, self._stored[positions]) for query in queries])
        order = np.argsort(-scores, axis=1, kind="stable")
        return self.rows.rows(positions)[order], np.take_along_axis(scores, order, axis=1)

    def score(self, query: np.ndarray, rows: Rows) -> Scores:
        """Return the cosines (m,) of a unit vector (dim,) with these buffered rows (m,)."""
        return cosines(query, self._stored[self.rows.positions(rows)])

    def read(self, rows: Rows) -> Matrix:
        """Return the vectors (m, dim), unit length, of these buffered rows (m,)."""
        return unit_rows(self._stored[self.rows.positions(rows)])
