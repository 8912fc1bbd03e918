"""Exact cosines of queries with stored rows: one query or thousands, the same values to the last bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hpdsearch.common.vectors import Matrix, Rows, Scores, cosines
from hpdsearch.dense.faiss_factory import CORES
from hpdsearch.dense.vector_file import VectorFile

PAIRS = 2048  # (query, row) pairs scored at once: their numbers stay in the processor's cache
PAIR_BITS = 22
MAX_PAIRS = 1 << PAIR_BITS


def score_and_sort(vectors: VectorFile, queries: Matrix, positions: Rows) -> tuple[Rows, Scores]:
    """Score candidates and order them: best first, equal scores by position.

    Args:
        vectors: what is stored.
        queries: (m, dim), unit length.
        positions: (m, n), -1 for none; m * n <= MAX_PAIRS, or m = 1.

    Returns:
        positions (m, n) and scores (m, n), -inf for none.
    """
    positions = np.sort(positions, axis=1)
    if len(queries) == 1:
        found = positions[0, positions[0].searchsorted(0) :]
        n_none = positions.shape[1] - len(found)
        scores = score_positions(vectors, queries[0], found)
        order = (-scores).argsort(kind="stable")
        return (
            np.concatenate([found[order], np.full(n_none, -1)])[None],
            np.concatenate([scores[order], np.full(n_none, -np.inf, np.float32)])[None],
        )
    scores = _scores_of_pairs(vectors, queries, positions)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)


def score_positions(vectors: VectorFile, query: np.ndarray, positions: Rows) -> Scores:
    """Return the cosines (n,) of query (dim,), of unit length, with the rows at these positions (n,)."""
    if len(positions) <= PAIRS:
        return cosines(query, vectors.stored_rows(positions))
    scores = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), PAIRS):
        piece = slice(start, start + PAIRS)
        scores[piece] = cosines(query, vectors.stored_rows(positions[piece]))
    return scores


def _scores_of_pairs(vectors: VectorFile, queries: Matrix, positions: Rows) -> Scores:
    """Score all pairs in the order of the file, so that each of its pages is touched once, on all cores."""
    scores = np.full(positions.size, -np.inf, np.float32)
    # One sort of plain integers brings pairs in order; an argsort would take four times as long.
    keys = np.sort((positions.ravel() << PAIR_BITS) | np.arange(positions.size))
    keys = keys[np.searchsorted(keys, 0) :]

    def score(start: int) -> None:
        piece = keys[start : start + PAIRS]
        pairs = piece & (MAX_PAIRS - 1)
        of = queries[pairs // positions.shape[1]]
        scores[pairs] = cosines(of, vectors.stored_rows(piece >> PAIR_BITS))

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(score, range(0, len(keys), PAIRS)))
    return scores.reshape(positions.shape)
