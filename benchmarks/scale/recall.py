"""ann_recall@10 by brute force: how many of the ten exact nearest vectors were found, whatever program found them.

A row counts if its exact score, computed here from the vectors, is not below that of the tenth best vector: of equal
vectors any may be the tenth.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix

K = 10
TOLERANCE = 1e-6  # float32 sums of the same products in another order

Rows = npt.NDArray[np.int64]
Take = Callable[[Rows], Matrix]  # rows (m,) -> their vectors (m, dim)


def tenth_scores(blocks: Iterable[Matrix], queries: Matrix, own: Rows | None = None) -> Matrix:
    """Return the K-th largest inner product (m,) of each query with all vectors.

    Args:
        blocks: all vectors in order, (rows, dim) each.
        queries: (m, dim).
        own: (m,) the row that each query is itself, which is left out; None: they are no rows.
    """
    best = np.full((len(queries), K), -np.inf, np.float32)  # the smallest first
    start = 0
    for block in blocks:
        scores = queries @ block.T
        if own is not None:
            inside = np.flatnonzero((own >= start) & (own < start + len(block)))
            scores[inside, own[inside] - start] = -np.inf
        start += len(block)
        better = np.flatnonzero(scores.max(axis=1) > best[:, 0])
        best[better] = np.partition(np.hstack([best[better], scores[better]]), -K)[:, -K:]
        best[better, :1] = best[better].min(axis=1, keepdims=True)
    return best[:, 0]


def recalls(
    found: Rows, queries: Matrix, take: Take, tenth: Matrix, own: Rows | None = None, *, first: Sequence[int] = (K,)
) -> list[float]:
    """Return the mean share of the K nearest among the first so many rows found, for each number of `first`.

    Args:
        found: (m, n) rows, best first; -1: none.
        queries: (m, dim).
        take: gives the vectors of rows.
        tenth: (m,) from `tenth_scores`.
        own: (m,) rows that are not counted, from the same.
        first: how many of the found rows may be looked at.
    """
    counted = found >= 0 if own is None else (found >= 0) & (found != own[:, None])
    for rows, there in zip(found, counted, strict=True):
        assert len(set(rows[there].tolist())) == there.sum(), "a row was found twice"
    near = np.zeros(found.shape, bool)
    for number, rows in enumerate(found):
        near[number] = take(np.maximum(rows, 0)) @ queries[number] >= tenth[number] - TOLERANCE
    place = np.cumsum(counted, axis=1)
    return [float(np.minimum((near & counted & (place <= n)).sum(axis=1), K).mean() / K) for n in first]
