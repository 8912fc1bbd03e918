"""Exact cosines of queries with stored rows; a query gets the same values to the last bit alone or among thousands."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hpdsearch.common.vectors import Matrix, Rows, Scores, cosines
from hpdsearch.dense.faiss_factory import count_cores
from hpdsearch.dense.vector_file import VectorFile

BLOCK_PAIRS = 2048  # (query, row) pairs scored at once: their vectors stay in the processor's cache
PAIR_BITS = 22
MAX_PAIRS = 1 << PAIR_BITS


def score_and_sort(vectors: VectorFile, queries: Matrix, positions: Rows) -> tuple[Rows, Scores]:
    """Score candidates exactly and sort them: best first, equal scores by position.

    Args:
        vectors: the stored vectors.
        queries: (m, dim), unit length.
        positions: (m, n), -1 for no candidate; m * n <= MAX_PAIRS, or m = 1.

    Returns:
        positions (m, n) and cosines (m, n); -1 and -inf for no candidate.
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
    scores = _score_pairs(vectors, queries, positions)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)


def score_positions(vectors: VectorFile, query: np.ndarray, positions: Rows) -> Scores:
    """Return the cosines (n,) of a unit vector (dim,) with the rows at these positions (n,)."""
    if len(positions) <= BLOCK_PAIRS:
        return cosines(query, vectors.stored_rows(positions))
    scores = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        scores[block] = cosines(query, vectors.stored_rows(positions[block]))
    return scores


def _score_pairs(vectors: VectorFile, queries: Matrix, positions: Rows) -> Scores:
    """Score all pairs on all cores, in the order of the file, so that each page of it is read once."""
    scores = np.full(positions.size, -np.inf, np.float32)
    # Sorting plain integers, (position, pair) packed into one, takes a quarter of the time of an argsort.
    keys = np.sort((positions.ravel() << PAIR_BITS) | np.arange(positions.size))
    keys = keys[np.searchsorted(keys, 0) :]

    def score(start: int) -> None:
        block = keys[start : start + BLOCK_PAIRS]
        pairs = block & (MAX_PAIRS - 1)
        query_of_pair = queries[pairs // positions.shape[1]]
        scores[pairs] = cosines(query_of_pair, vectors.stored_rows(block >> PAIR_BITS))

    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(score, range(0, len(keys), BLOCK_PAIRS)))
    return scores.reshape(positions.shape)
