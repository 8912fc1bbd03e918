"""Exact cosines of queries with stored rows; a query gets the same values to the last bit alone or among thousands."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from hpdsearch.common.forks import PerProcess
from hpdsearch.common.vectors import Matrix, Rows, Scores, Stored, cosines, inner_products, norms, round_scores
from hpdsearch.dense.faiss_factory import count_cores
from hpdsearch.dense.vector_file import VectorFile

BLOCK_ROWS = 2048  # rows of the file read at once
BLOCK_PAIRS = 1024  # (query, row) pairs scored at once: their vectors in float64 stay in the processor's cache
TASK_PAIRS = 32_768  # pairs that a thread scores and sorts before it takes others
MAX_PAIRS = 1 << 22  # of a batch of queries: bounds the memory for positions and scores
MAX_BYTES = 1 << 27  # stored vectors in memory
DENSE_ROWS = 32  # rows of the file for each pair, up to which a mask of all rows is faster than sorting the pairs

_threads = PerProcess(lambda: ThreadPoolExecutor(count_cores(), "hpdsearch-scores"))


def score_and_sort(vectors: VectorFile, queries: Matrix, positions: Rows) -> tuple[Rows, Scores]:
    """Score candidates exactly and sort them: best first, equal scores by position.

    Args:
        vectors: the stored vectors.
        queries: (m, dim), unit length.
        positions: (m, n), -1 for no candidate.

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
    scores = np.full(positions.shape, -np.inf, np.float32)
    step = max(1, MAX_BYTES // (2 * vectors.dim * max(1, positions.shape[1])))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        _score_and_sort(vectors, queries[block], positions[block], scores[block])
    return positions, scores


def score_positions(vectors: VectorFile, query: np.ndarray, positions: Rows) -> Scores:
    """Return the cosines (n,) of a unit vector (dim,) with the rows at these positions (n,)."""
    if len(positions) <= BLOCK_ROWS:
        return cosines(query, vectors.stored_rows(positions))
    scores = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        scores[block] = cosines(query, vectors.stored_rows(positions[block]))
    return scores


def _score_and_sort(vectors: VectorFile, queries: Matrix, positions: Rows, scores: Scores) -> None:
    """Fill in the scores (m, n) and sort positions and scores in place, on all cores.

    Each row is read once, in the order of the file, and its norm is computed once, however many queries found it.
    """
    if positions.max(initial=-1) < 0:
        return
    rows, ranks = _rank_rows(positions, vectors.n_rows)
    stored = np.empty((len(rows), vectors.dim), "<f2")
    row_norms = np.empty(len(rows))
    wide_queries = queries.astype(np.float64)

    def read(block: slice) -> None:
        stored[block] = vectors.stored_rows(rows[block])
        row_norms[block] = norms(stored[block])

    def score(block: slice) -> None:
        scores[block] = _score_pairs(stored, row_norms, wide_queries[block], ranks[block])
        scores[block][positions[block] < 0] = -np.inf
        order = np.argsort(-scores[block], axis=1, kind="stable")
        positions[block] = np.take_along_axis(positions[block], order, 1)
        scores[block] = np.take_along_axis(scores[block], order, 1)

    _map_blocks(read, len(rows), BLOCK_ROWS)
    _map_blocks(score, len(queries), max(1, TASK_PAIRS // positions.shape[1]))


def _rank_rows(positions: Rows, n_rows: int) -> tuple[Rows, npt.NDArray[np.integer]]:
    """Return the distinct candidates (u,), ascending, and the rank (m, n) of each among them; any rank for -1."""
    none = positions < 0
    if none.any():
        positions = np.where(none, positions.max(), positions)
    if positions.size * DENSE_ROWS < n_rows:
        rows, ranks = np.unique(positions, return_inverse=True)
        return rows, ranks.reshape(positions.shape)
    is_candidate = np.zeros(n_rows, bool)
    is_candidate[positions] = True
    return np.flatnonzero(is_candidate), (np.cumsum(is_candidate, dtype=np.int32) - 1)[positions]


def _score_pairs(stored: Stored, row_norms: np.ndarray, queries: np.ndarray, ranks: np.ndarray) -> Scores:
    """Return the cosines (m, n) of queries (m, dim), float64, with the rows of these ranks (m, n)."""
    products = np.empty(ranks.shape)
    n_queries = max(1, BLOCK_PAIRS // ranks.shape[1])
    for start in range(0, len(queries), n_queries):
        for first in range(0, ranks.shape[1], BLOCK_PAIRS):
            block = slice(start, start + n_queries), slice(first, first + BLOCK_PAIRS)
            products[block] = inner_products(queries[block[0]], stored.take(ranks[block], axis=0))
    return round_scores(products / row_norms.take(ranks))


def _map_blocks(work: Callable[[slice], object], n: int, step: int) -> None:
    """Call work with slices of `step` of n items: a single one in this thread, several in threads."""
    blocks = [slice(start, start + step) for start in range(0, n, step)]
    if len(blocks) == 1:
        work(blocks[0])
    else:
        list(_threads.get().map(work, blocks))
