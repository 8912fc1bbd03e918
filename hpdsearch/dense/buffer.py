"""The few vectors that wait in the catalog to be written to a file, searched as a segment is."""

import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows, Scores, Stored, cosines
from hpdsearch.dense.operating_points import OperatingPoint, OperatingPoints
from hpdsearch.dense.row_map import RowMap


class BufferedVectors:
    """Scores every vector exactly; has what search uses of a Segment."""

    def __init__(self, rows: Rows, stored: Stored) -> None:
        """Take rows (n,), ascending, n >= 1, and their float16 vectors (n, dim)."""
        first, end = int(rows[0]), int(rows[-1]) + 1
        self.rows, self.n_rows = RowMap.from_rows(first, end, rows), len(rows)
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
        """Return rows (m, n') and cosines (m, n') of all n' that are allowed, best first, equal ones by row."""
        places = np.arange(self.n_rows) if allowed is None else np.flatnonzero(allowed)
        scores = np.stack([cosines(query, self._stored[places]) for query in queries])
        order = np.argsort(-scores, axis=1, kind="stable")
        return self.rows.rows(places)[order], np.take_along_axis(scores, order, axis=1)

    def score(self, query: np.ndarray, rows: Rows) -> Scores:
        """Return the exact cosines (m,) of query (dim,) with these rows (m,)."""
        return cosines(query, self._stored[self.rows.positions(rows)])
