"""The nearest rows by their codes: what faiss finds, behind masks too, and never fewer than were wanted."""

from dataclasses import dataclass
from math import ceil

import faiss
import numpy as np

from hpdsearch.common.vectors import Mask, Matrix, Rows
from hpdsearch.dense.faiss_factory import CORES, ROTATED, leading
from hpdsearch.dense.spec import IndexSpec, IndexType

SPARE = 1.5  # more codes than the share of allowed rows asks for: near ones need not be allowed in that share
WIDER = 4


@dataclass(frozen=True)
class SearchRequest:
    """What to look for.

    Attributes:
        n: candidates a query, at most.
        at_least: that many a query, as far as they exist: the search widens until it has them; at_least <= n.
        nprobe: inverted lists to visit at first.
        allowed: (n_rows,) which positions may be found; None: all.
        n_allowed: how many those are.
    """

    n: int
    at_least: int
    nprobe: int
    allowed: Mask | None
    n_allowed: int


class FaissCodes:
    """Searches the codes of one segment; safe to use from several threads at once."""

    def __init__(self, index: faiss.Index, spec: IndexSpec, dim: int) -> None:
        self._index, self._spec, self._dim = index, spec, dim

    def nearest(self, queries: Matrix, wanted: SearchRequest) -> Rows:
        """Return candidates (m, n) of queries (m, width), best codes first; short lists are filled with -1.

        A list holds fewer than at_least only where the codes themselves lose rows (see `_fast_scan`).
        """
        queries = np.ascontiguousarray(leading(queries, self._dim), np.float32)
        # One query gains nothing from more threads and would wait for them to wake; the setting is this thread's own.
        faiss.omp_set_num_threads(1 if len(queries) == 1 else CORES)
        if self._spec.kind is IndexType.IVF:
            return self._lists(queries, wanted)
        if self._spec.codec in ROTATED:
            return self._fast_scan(queries, wanted)
        parameters = None if wanted.allowed is None else faiss.SearchParameters(sel=_selector(wanted.allowed))
        return self._found(queries, wanted.n, parameters)

    def _found(self, queries: Matrix, n: int, parameters: faiss.SearchParameters | None = None) -> Rows:
        found: Rows = self._index.search(queries, n, params=parameters)[1]
        return found

    def _lists(self, queries: Matrix, wanted: SearchRequest) -> Rows:
        selector, nprobe = None if wanted.allowed is None else _selector(wanted.allowed), wanted.nprobe
        found = self._found(queries, wanted.n, faiss.SearchParametersIVF(sel=selector, nprobe=nprobe))
        while wanted.at_least and nprobe < self._spec.nlist:
            short = np.flatnonzero(found[:, wanted.at_least - 1] < 0)  # faiss fills short lists from behind
            if not len(short):
                break
            nprobe = min(nprobe * WIDER, self._spec.nlist)
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=nprobe)
            found[short] = self._found(queries[short], wanted.n, parameters)
        return found

    def _fast_scan(self, queries: Matrix, wanted: SearchRequest) -> Rows:
        """The flat fast-scan kernels know no mask: look further than wanted and leave out what is not allowed.

        With few distinct codes they lose some of the rows that tie with the last one.
        """
        if wanted.allowed is None:
            return self._found(queries, wanted.n)
        n_rows = len(wanted.allowed)
        found = np.full((len(queries), wanted.n), -1)
        pending, n = np.arange(len(queries)), ceil(wanted.n * SPARE * n_rows / wanted.n_allowed)
        while len(pending):
            n = min(n, n_rows)
            positions = self._found(queries[pending], n)
            keep = wanted.allowed[positions] & (positions >= 0)
            first = np.argsort(~keep, axis=1, kind="stable")[:, : wanted.n]
            kept = np.where(np.take_along_axis(keep, first, 1), np.take_along_axis(positions, first, 1), -1)
            found[pending, : kept.shape[1]] = kept
            pending = pending[keep.sum(axis=1) < wanted.n]
            if n == n_rows:
                break
            n *= WIDER
        return found


def _selector(allowed: Mask) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
