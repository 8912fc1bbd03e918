"""Compute ann_recall@10 by brute force: the share of the ten exact nearest vectors among the found rows.

A row counts if its exact score, computed here from the vectors, is not below that of the tenth best vector, because any
of several equal vectors may be the tenth.
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
        blocks: all vectors in order, in arrays (rows, dim).
        queries: float32 (m, dim).
        own: rows (m,) of the queries in the corpus, left out of their own answers; -1 or None: not in the corpus.
    """
    best = np.full((len(queries), K), -np.inf, np.float32)  # the smallest score is first
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
    """Return the mean share of the K nearest among the first found rows, for each number of rows in `first`.

    Args:
        found: rows (m, n), best first; -1 for none.
        queries: float32 (m, dim).
        take: rows (n,) -> vectors (n, dim).
        tenth: result (m,) of `tenth_scores`.
        own: rows (m,) that do not count, as in `tenth_scores`.
        first: numbers of leading rows to consider.
    """
    counted = found >= 0 if own is None else (found >= 0) & (found != own[:, None])
    for rows, there in zip(found, counted, strict=True):
        assert len(set(rows[there].tolist())) == there.sum(), "a row was found twice"
    near = np.zeros(found.shape, bool)
    for number, rows in enumerate(found):
        near[number] = take(np.maximum(rows, 0)) @ queries[number] >= tenth[number] - TOLERANCE
    position = np.cumsum(counted, axis=1)
    return [float(np.minimum((near & counted & (position <= n)).sum(axis=1), K).mean() / K) for n in first]
