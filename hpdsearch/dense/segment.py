"""One segment: an immutable run of rows, the faiss index that selects candidates, the vectors that score them."""

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
from hpdsearch.errors import RESTORE, CorruptIndexError

RESCORED_HITS = 10  # the first hits get `rescore` candidates each, all further ones a single one
EXACT_ROWS = 1_000  # up to so many allowed rows are scored exactly, without the codes


class Segment:
    """Searches the rows of one segment. Arguments and results are rows of the index, not positions.

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
        """Take the row map, the vectors, the resolved spec and the filled index of the same rows."""
        self.rows = rows
        self.vectors = vectors
        self.spec = spec
        self.operating_points = operating_points
        self.n_rows = rows.n_rows
        self.memory_bytes = memory_bytes
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
        """Open the index file after comparing its sha256: faiss would crash on a corrupt file or return wrong rows.

        Args:
            rows: the row map.
            vectors: the vectors of the same rows.
            spec: the resolved spec of the index.
            path: the index file.
            sha256: its sha256, in hexadecimal.
            operating_points: as measured; None: not measured.
            mapped_above: files of more bytes are memory-mapped; None: half of the free memory.

        Raises:
            CorruptIndexError: the file is missing or altered, or does not fit the rows and vectors.
        """
        try:
            found = file_sha256(path)
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise CorruptIndexError(f"{path}: the index file is missing; {RESTORE}") from error
        if found != sha256:
            raise CorruptIndexError(f"{path}: does not match its checksum; {RESTORE}")
        is_mapped = size > (_free_bytes() // 2 if mapped_above is None else mapped_above)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if is_mapped else 0)
        dim = coded_dim(spec, vectors.dim)
        if not index.ntotal == vectors.n_rows == rows.n_rows or index.d != dim:
            raise CorruptIndexError(
                f"{path}: expected {vectors.n_rows} x {dim} vectors, got {index.ntotal} x {index.d} "
                f"for {rows.n_rows} rows; {RESTORE}"
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
        """Find candidates for the n nearest rows of each query by their codes and score them exactly.

        Args:
            queries: (m, dim), unit length.
            n: rows wanted for each query; fewer come only if fewer are allowed.
            allowed: (n_rows,) positions that may be returned; None: all.
            point: nprobe and rescore to use; None: those of the spec.
            expansion: factor for the candidates and for nprobe; a large one makes the search exhaustive.

        Returns:
            rows (m, n') and cosines (m, n') of all candidates, best first, equal ones by row; n' >= n if so many rows
            are allowed. Where a query has fewer, the rest is row -1 and score -inf.
        """
        request = self._plan(n, allowed, point, expansion)
        # An exhaustive answer needs no codes: fast-scan would lose some of the rows with equal ones.
        is_exact = request.n in (0, request.n_allowed) or (allowed is not None and request.n_allowed <= EXACT_ROWS)
        search = self._search_exactly if is_exact else self._search_by_codes
        n_pairs = request.n_allowed if is_exact else request.n  # of each query
        step = max(1, MAX_PAIRS // max(1, n_pairs))
        starts = range(0, max(1, len(queries)), step)
        positions, scores = _join([search(queries[start : start + step], request) for start in starts])
        rows = self.rows.rows(positions)
        rows[positions < 0] = -1
        return rows, scores

    def score(self, query: np.ndarray, rows: Rows) -> Scores:
        """Return the exact cosines (m,) of a unit vector (dim,) with these rows (m,) of the segment."""
        return score_positions(self.vectors, query, self.rows.positions(rows))

    def read(self, rows: Rows) -> Matrix:
        """Return the vectors (m, dim), unit length, of these rows (m,) of the segment."""
        return self.vectors.rows(self.rows.positions(rows))

    def _plan(self, n: int, allowed: Mask | None, point: OperatingPoint | None, expansion: int) -> SearchRequest:
        setting = point or self.spec
        n_allowed = self.n_rows if allowed is None else int(np.count_nonzero(allowed))
        n_candidates = min(max(n, min(n, RESCORED_HITS) * setting.rescore) * expansion, n_allowed)
        # The nearest of few allowed rows are further away. With 1 % of a million rows allowed, the cube root kept the
        # recall of an unfiltered search, the square root exceeded it, and the same nprobe lost 8 points
        # (docs/decisions/0017-filtered-nprobe.md).
        nprobe = round(setting.nprobe * expansion * (self.n_rows / max(1, n_allowed)) ** (1 / 3))
        return SearchRequest(n_candidates, min(n, n_allowed), min(nprobe, self.spec.nlist), allowed, n_allowed)

    def _search_by_codes(self, queries: Matrix, request: SearchRequest) -> tuple[Rows, Scores]:
        positions, scores = score_and_sort(self.vectors, queries, self.codes.nearest(queries, request))
        for query in np.flatnonzero(positions[:, request.at_least - 1] < 0):  # fast-scan lost rows of these queries
            positions[query], scores[query] = self._search_exactly(queries[query : query + 1], request)
        return positions, scores

    def _search_exactly(self, queries: Matrix, request: SearchRequest) -> tuple[Rows, Scores]:
        allowed = np.arange(self.n_rows) if request.allowed is None else np.flatnonzero(request.allowed)
        everything = np.broadcast_to(allowed, (len(queries), len(allowed)))
        positions, scores = score_and_sort(self.vectors, queries, everything)
        return positions[:, : request.n], scores[:, : request.n]


def _join(blocks: list[tuple[Rows, Scores]]) -> tuple[Rows, Scores]:
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([rows for rows, _ in blocks]), np.concatenate([scores for _, scores in blocks])


def _free_bytes() -> int:
    """Return the memory available without swapping; sys.maxsize where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    except (OSError, StopIteration):
        return sys.maxsize
