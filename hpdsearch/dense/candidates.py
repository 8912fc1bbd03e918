"""Candidates by their codes: a faiss search that respects row filters and returns at least as many as requested."""

from dataclasses import dataclass
from math import ceil

import faiss
import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows
from hpdsearch.dense.faiss_factory import ROTATED_CODECS, count_cores, truncate
from hpdsearch.dense.spec import IndexSpec, IndexType

OVERSAMPLING = 1.5  # more codes than the share of allowed rows calls for: nearby rows can be allowed more rarely
EXPANSION = 4  # factor by which a search that found too little is repeated


@dataclass(frozen=True)
class SearchRequest:
    """Parameters of a candidate search.

    Attributes:
        n: maximum number of candidates for each query.
        at_least: minimum number, as far as so many rows are allowed; nprobe grows until it is reached; at_least <= n.
        nprobe: inverted lists to probe at first.
        allowed: (n_rows,) positions that may be returned; None: all.
        n_allowed: how many these are.
    """

    n: int
    at_least: int
    nprobe: int
    allowed: Mask | None
    n_allowed: int


class FaissCodes:
    """Searches the codes of one segment; safe to use from several threads at once.

    Source of the fast-scan kernels: André et al. 2015, "Cache locality is not enough: high-performance nearest neighbor
    search with product quantization fast scan"; 2018, "Quicker ADC", arXiv:1812.09162.
    """

    def __init__(self, index: faiss.Index, spec: IndexSpec, dim: int) -> None:
        """Take a filled index, its resolved spec and the dimensions that the codes hold."""
        self._index = index
        self._spec = spec
        self._dim = dim

    def nearest(self, queries: Matrix, request: SearchRequest) -> Rows:
        """Return candidates for each query.

        Args:
            queries: (m, width), unit length, width >= the dimensions of the codes.
            request: how many, and among which positions.

        Returns:
            positions (m, n), best code first, filled up with -1. A row holds fewer than at_least positions only where
            the fast-scan kernels lose some (see `_search_fast_scan`).
        """
        queries = np.ascontiguousarray(truncate(queries, self._dim), np.float32)
        # More threads would only delay a single query by waking up; the setting belongs to the calling thread.
        faiss.omp_set_num_threads(1 if len(queries) == 1 else count_cores())
        if self._spec.kind is IndexType.IVF:
            return self._search_ivf(queries, request)
        if self._spec.codec in ROTATED_CODECS:
            return self._search_fast_scan(queries, request)
        parameters = None if request.allowed is None else faiss.SearchParameters(sel=_selector(request.allowed))
        return self._search(queries, request.n, parameters)

    def _search(self, queries: Matrix, n: int, parameters: faiss.SearchParameters | None = None) -> Rows:
        positions: Rows = self._index.search(queries, n, params=parameters)[1]
        return positions

    def _search_ivf(self, queries: Matrix, request: SearchRequest) -> Rows:
        """Probe more lists for those queries that have fewer than at_least candidates."""
        selector = None if request.allowed is None else _selector(request.allowed)
        nprobe = request.nprobe
        found = self._search(queries, request.n, faiss.SearchParametersIVF(sel=selector, nprobe=nprobe))
        while request.at_least and nprobe < self._spec.nlist:
            short = np.flatnonzero(found[:, request.at_least - 1] < 0)  # faiss puts the -1 last
            if not len(short):
                break
            nprobe = min(nprobe * EXPANSION, self._spec.nlist)
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
            found[short] = self._search(queries[short], request.n, parameters)
        return found

    def _search_fast_scan(self, queries: Matrix, request: SearchRequest) -> Rows:
        """Search more codes than requested and drop those that are not allowed: flat fast-scan knows no row filter.

        The kernels lose some of the rows that tie with the last one, which matters if there are few distinct codes.
        """
        if request.allowed is None:
            return self._search(queries, request.n)
        n_rows = len(request.allowed)
        found = np.full((len(queries), request.n), -1)
        pending = np.arange(len(queries))
        n = ceil(request.n * OVERSAMPLING * n_rows / request.n_allowed)
        while len(pending):
            n = min(n, n_rows)
            positions = self._search(queries[pending], n)
            keep = request.allowed[positions] & (positions >= 0)
            first = np.argsort(~keep, axis=1, kind="stable")[:, : request.n]
            best = np.where(np.take_along_axis(keep, first, 1), np.take_along_axis(positions, first, 1), -1)
            found[pending, : best.shape[1]] = best
            pending = pending[keep.sum(axis=1) < request.n]
            if n == n_rows:
                break
            n *= EXPANSION
        return found


def _selector(allowed: Mask) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
