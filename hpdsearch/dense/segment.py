"""One segment: an immutable run of rows, its faiss index for candidates, its vectors for exact scores."""

import sys
from pathlib import Path

import faiss
import numpy as np

from hpdsearch.common.files import file_sha256
from hpdsearch.common.vectors import Mask, Matrix, Rows, Scores
from hpdsearch.dense.candidates import FaissCodes, SearchRequest
from hpdsearch.dense.faiss_factory import coded_dim
from hpdsearch.dense.operating_points import OperatingPoint, OperatingPoints
from hpdsearch.dense.rescoring import MAX_PAIRS, score_and_sort, score_positions
from hpdsearch.dense.row_map import RowMap
from hpdsearch.dense.spec import IndexSpec
from hpdsearch.dense.vector_file import VectorFile
from hpdsearch.errors import CorruptIndexError

RESCORED_HITS = 10  # hits that get the full `rescore`; further ones get one candidate each
EXACT_ROWS = 1_000  # so few allowed rows are scored exactly, without the codes


class Segment:
    """Searches the rows of `rows`; the rows that go in and out are the index-wide ones.

    Safe to use from several threads at once.
    """

    def __init__(
        self,
        rows: RowMap,
        vectors: VectorFile,
        spec: IndexSpec,
        index: faiss.Index,
        *,
        operating_points: OperatingPoints | None = None,
        memory_bytes: int = 0,
    ) -> None:
        self.rows, self.vectors, self.spec, self.operating_points = rows, vectors, spec, operating_points
        self.n_rows, self.memory_bytes = rows.n_rows, memory_bytes
        self.codes = FaissCodes(index, spec, coded_dim(spec, vectors.dim))

    @classmethod
    def open(
        cls,
        rows: RowMap,
        vectors: VectorFile,
        spec: IndexSpec,
        path: Path,
        sha256: str,
        operating_points: OperatingPoints | None = None,
        *,
        mapped_above: int | None = None,
    ) -> "Segment":
        """Open the index file, after checking its sum: faiss would crash or answer wrongly on a damaged one.

        A file of more than mapped_above bytes is memory-mapped; None: half of the memory that is free.

        Raises:
            CorruptIndexError: a file is missing, altered, or not the one that belongs to these rows.
        """
        try:
            found, size = file_sha256(path), path.stat().st_size
        except FileNotFoundError as error:
            raise CorruptIndexError(
                f"{path}: the index file is missing; restore it, or index again with --overwrite"
            ) from error
        if found != sha256:
            raise CorruptIndexError(
                f"{path}: is not what was written (its sum differs); restore it, or index again with --overwrite"
            )
        mapped = size > (_free_bytes() // 2 if mapped_above is None else mapped_above)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
        dim = coded_dim(spec, vectors.dim)
        if not index.ntotal == vectors.n_rows == rows.n_rows or index.d != dim:
            raise CorruptIndexError(
                f"{path}: expected {vectors.n_rows} x {dim} vectors, got {index.ntotal} x {index.d} "
                f"for {rows.n_rows} rows; index again with --overwrite"
            )
        return cls(rows, vectors, spec, index, operating_points=operating_points, memory_bytes=size)

    def nearest(
        self,
        queries: Matrix,
        n: int,
        *,
        allowed: Mask | None = None,
        point: OperatingPoint | None = None,
        expansion: int = 1,
    ) -> tuple[Rows, Scores]:
        """Find candidates for the n nearest rows of each query by their codes and score all of them exactly.

        Args:
            queries: (m, dim), unit length.
            n: rows wanted a query; fewer come only if fewer are allowed.
            allowed: (n_rows,) which positions may be found; None: all.
            point: nprobe and rescore in place of the spec's.
            expansion: that many times the candidates and the lists; a large one makes the search exhaustive.

        Returns:
            rows (m, n') and cosines (m, n') of all candidates, best first, equal ones by row; n' >= n if so many are
            allowed. Short lists are filled with row -1 and score -inf.
        """
        wanted = self._wanted(n, allowed, point, expansion)
        # An exhaustive answer needs no codes: fast-scan would lose some of the rows with equal ones.
        exact = wanted.n in (0, wanted.n_allowed) or (allowed is not None and wanted.n_allowed <= EXACT_ROWS)
        search, width = (self._exact, wanted.n_allowed) if exact else (self._by_codes, wanted.n)
        step = max(1, MAX_PAIRS // max(1, width))
        starts = range(0, max(1, len(queries)), step)
        positions, scores = _joined([search(queries[start : start + step], wanted) for start in starts])
        rows = self.rows.rows(positions)
        rows[positions < 0] = -1
        return rows, scores

    def score(self, query: np.ndarray, rows: Rows) -> Scores:
        """Return the exact cosines (m,) of query (dim,) with these rows (m,) of this segment."""
        return score_positions(self.vectors, query, self.rows.positions(rows))

    def _wanted(self, n: int, allowed: Mask | None, point: OperatingPoint | None, expansion: int) -> SearchRequest:
        at = point or self.spec
        n_allowed = self.n_rows if allowed is None else int(np.count_nonzero(allowed))
        n_candidates = min(max(n, min(n, RESCORED_HITS) * at.rescore) * expansion, n_allowed)
        # The nearest of few allowed rows lie further away. With 1 % allowed at a million rows the cube root kept the
        # recall that nprobe has without a mask, the square root more than that, the same nprobe 8 points less.
        nprobe = round(at.nprobe * expansion * (self.n_rows / max(1, n_allowed)) ** (1 / 3))
        return SearchRequest(n_candidates, min(n, n_allowed), min(nprobe, self.spec.nlist), allowed, n_allowed)

    def _by_codes(self, queries: Matrix, wanted: SearchRequest) -> tuple[Rows, Scores]:
        positions, scores = score_and_sort(self.vectors, queries, self.codes.nearest(queries, wanted))
        for query in np.flatnonzero(positions[:, wanted.at_least - 1] < 0):  # those that fast-scan lost
            positions[query], scores[query] = self._exact(queries[query : query + 1], wanted)
        return positions, scores

    def _exact(self, queries: Matrix, wanted: SearchRequest) -> tuple[Rows, Scores]:
        places = np.arange(self.n_rows) if wanted.allowed is None else np.flatnonzero(wanted.allowed)
        found, scores = score_and_sort(self.vectors, queries, np.broadcast_to(places, (len(queries), len(places))))
        return found[:, : wanted.n], scores[:, : wanted.n]


def _joined(blocks: list[tuple[Rows, Scores]]) -> tuple[Rows, Scores]:
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([rows for rows, _ in blocks]), np.concatenate([scores for _, scores in blocks])


def _free_bytes() -> int:
    """Return the memory that could be used without swapping; without bound where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    except (OSError, StopIteration):
        return sys.maxsize
