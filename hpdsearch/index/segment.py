"""One segment: an immutable run of consecutive rows, its faiss index for candidates, its vectors for exact scores."""

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from hpdsearch.errors import DamagedError
from hpdsearch.files import sha256_of
from hpdsearch.index.spec import IndexSpec, Kind
from hpdsearch.index.vectorfile import VectorFile
from hpdsearch.vectors import Matrix, cosines

_CORES = faiss.omp_get_max_threads()
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Segment:
    """Searches rows first_row <= row < first_row + n_rows; rows outside and inside are the index-wide ones.

    Safe to use from several threads at once.
    """

    def __init__(self, first_row: int, vectors: VectorFile, spec: IndexSpec, index: faiss.Index) -> None:
        self.first_row, self.n_rows = first_row, vectors.n_rows
        self.vectors, self.spec = vectors, spec
        self._index = index

    @classmethod
    def open(cls, first_row: int, vectors: VectorFile, spec: IndexSpec, path: Path, sha256: str) -> "Segment":
        """Open the index file, after checking its sum: faiss would crash or answer wrongly on a damaged one."""
        try:
            found = sha256_of(path)
        except FileNotFoundError as error:
            raise DamagedError(
                f"{path}: the index file is missing; restore it, or index again with --overwrite"
            ) from error
        if found != sha256:
            raise DamagedError(
                f"{path}: is not what was written (its sum differs); restore it, or index again with --overwrite"
            )
        index = faiss.read_index(str(path))
        if index.ntotal != vectors.n_rows or index.d != vectors.dim:
            got = f"{index.ntotal} x {index.d}"
            raise DamagedError(
                f"{path}: expected {vectors.n_rows} x {vectors.dim} vectors, got {got}; index again with --overwrite"
            )
        return cls(first_row, vectors, spec, index)

    @property
    def memory_bytes(self) -> int:
        """Bytes that the codes and lists keep in memory."""
        code_size = self._index.code_size if hasattr(self._index, "code_size") else self._index.d * 4
        n_ids = self.n_rows if self.spec.kind is Kind.IVF else 0
        return int(self.n_rows * code_size + n_ids * 8 + self.spec.nlist * self._index.d * 4)

    def candidates(self, queries: Matrix, n: int, *, allowed: Mask | None = None, nprobe: int = 0) -> list[Rows]:
        """Find about the n nearest rows of each query by their codes.

        Args:
            queries: (m, dim), unit length.
            n: candidates a query, at most.
            allowed: (n_rows,) which rows of the segment may be found; None: all.
            nprobe: inverted lists to visit (ivf); 0: as the spec says.

        Returns:
            for each query the rows found, in no promised order; fewer than n only if the lists visited hold no more.
        """
        n = min(n, self.n_rows)
        if n == 0:
            return [np.empty(0, np.int64) for _ in queries]
        selector = None if allowed is None else faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if self.spec.kind is Kind.IVF:
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=nprobe or self.spec.nprobe)
        else:
            parameters = faiss.SearchParameters(sel=selector)
        # One query gains nothing from more threads and would wait for them to wake; the setting is this thread's own.
        faiss.omp_set_num_threads(1 if len(queries) == 1 else _CORES)
        _, found = self._index.search(queries, n, params=parameters)
        # faiss fills a short result list with row -1.
        return [self.first_row + rows[rows >= 0] for rows in found]

    def scores(self, query: np.ndarray, rows: Rows) -> npt.NDArray[np.float32]:
        """Return the exact cosines (m,) of query (dim,) with these rows (m,) of this segment."""
        return cosines(query, self.vectors.rows(rows - self.first_row))
