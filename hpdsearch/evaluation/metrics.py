"""Metrics as pure functions: rank correlation, ranking quality, agreement of two encoders, and their uncertainty."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import cosine_matrix, unit_rows
from hpdsearch.errors import ShapeError

Judged = Mapping[str, int]  # doc_id -> relevance of one query; above 0 is relevant
Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]
BLOCK = 256  # queries compared at once: memory stays at BLOCK x documents


def spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Return Spearman's rank correlation of two lists (n,), in -1..1; equal values share their average rank.

    Raises:
        ShapeError: the lists differ in length, or one of them holds no two different values.
    """
    if len(a) != len(b):
        raise ShapeError(f"spearman: expected lists of equal length, got {len(a)} and {len(b)}")
    ranks = [average_ranks(np.asarray(values, dtype=np.float64)) for values in (a, b)]
    centred = [values - values.mean() for values in ranks] if len(a) else ranks
    norm = math.prod(float(np.linalg.norm(values)) for values in centred)
    if norm == 0:
        raise ShapeError(f"spearman: expected at least two different values in each list, got {len(a)} values")
    return float(centred[0] @ centred[1] / norm)


def average_ranks(values: Scores) -> Scores:
    """Return the ranks 1..n of values (n,), the smallest first; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_ranks: Scores = last - (counts - 1) / 2
    return mean_ranks[group]


def rank_doc_ids(scores: Mapping[str, float]) -> list[str]:
    """Return the doc_ids of a run, best first; equal scores: the smaller doc_id first (trec_eval: the larger)."""
    return sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))


def ndcg_at_k(found: Sequence[str], judged: Judged, k: int = 10) -> float:
    """Return nDCG@k of one query with linear gain, as trec_eval and BEIR; 0 if no document is relevant.

    Args:
        found: doc_ids, best first.
        judged: relevance of each judged document; what is not judged, or below 0, gains nothing.
        k: ranks that count.
    """
    gains = (max(judged.get(doc_id, 0), 0) for doc_id in found[:k])
    ideal = sorted((max(relevance, 0) for relevance in judged.values()), reverse=True)[:k]
    best = _discounted(ideal)
    return _discounted(gains) / best if best else 0.0


def recall_at_k(found: Sequence[str], judged: Judged, k: int = 100) -> float:
    """Return the share of one query's relevant documents among the first k found; 0 if there are none."""
    relevant = {doc_id for doc_id, relevance in judged.items() if relevance > 0}
    return len(relevant.intersection(found[:k])) / len(relevant) if relevant else 0.0


def mrr_at_k(found: Sequence[str], judged: Judged, k: int = 10) -> float:
    """Return 1 / rank of the first relevant document of one query; 0 if there is none among the first k."""
    return next((1 / rank for rank, doc_id in enumerate(found[:k], 1) if judged.get(doc_id, 0) > 0), 0.0)


def _discounted(gains: Iterable[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def top_rows(scores: Scores, k: int) -> Rows:
    """Return the columns (n, k) of the k largest of each line of scores (n, m), k <= m; equal ones: smaller first."""
    least = np.partition(scores, -k, axis=1)[:, -k]
    found = np.empty((len(scores), k), dtype=np.intp)
    for line, lowest, row in zip(scores, least, found, strict=True):
        candidates = np.flatnonzero(line >= lowest)
        row[:] = candidates[np.argsort(-line[candidates], kind="stable")[:k]]
    return found


def neighbor_agreement(ours: np.ndarray, teacher: np.ndarray, k: int = 10) -> float:
    """Return the mean share of each text's k nearest teacher neighbours that are among our k nearest, 0..1.

    A text is not its own neighbour. Nearness is the cosine; equal ones: the smaller row first.

    Args:
        ours: our vectors of n texts, (n, dim), of any length.
        teacher: the teacher's vectors of the same texts, (n, teacher_dim), of any length.
        k: neighbours, 1 <= k < n.

    Raises:
        ShapeError: the two are not of the same texts, or there are not more than k texts.
    """
    return _agreement((ours, ours), (teacher, teacher), k, without_self=True)


def search_agreement(ours: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray], k: int = 10) -> float:
    """Return the mean share of each query's k nearest documents of the teacher that are among our k nearest, 0..1.

    Args:
        ours: our vectors of queries (n_queries, dim) and of documents (n_documents, dim), of any length.
        teacher: the teacher's vectors of the same queries and documents, (.., teacher_dim).
        k: documents, 1 <= k <= n_documents.

    Raises:
        ShapeError: the two are not of the same texts, or there are fewer than k documents.
    """
    return _agreement(ours, teacher, k, without_self=False)


def nearest_neighbors(vectors: np.ndarray, k: int = 10) -> Rows:
    """Return the rows (n, k) of each text's k nearest others among vectors (n, dim) of any length, nearest first.

    Raises:
        ShapeError: there are not more than k texts.
    """
    return _nearest((vectors, vectors), k, without_self=True)


def neighbor_overlap(ours: Iterable[Rows], teacher: Rows) -> Scores:
    """Return for each of n texts the share of the teacher's neighbours (n, k) that ours name too, (n,) in 0..1.

    Args:
        ours: rows of each text, any number, none twice.
        teacher: rows of each text's nearest.
    """
    shared = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(ours, teacher, strict=True)]
    shares: Scores = np.array(shared, dtype=np.float64) / teacher.shape[1]
    return shares


def _agreement(
    ours: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray], k: int, *, without_self: bool
) -> float:
    shapes = [[len(part) for part in pair] for pair in (ours, teacher)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"agreement: expected vectors of the same texts, got {shapes[0]} of ours, {shapes[1]} teacher's"
        )
    nearest = [_nearest(pair, k, without_self=without_self) for pair in (ours, teacher)]
    return float(neighbor_overlap(nearest[0], nearest[1]).mean())


def _nearest(pair: tuple[np.ndarray, np.ndarray], k: int, *, without_self: bool) -> Rows:
    """Return the rows (n_queries, k) nearest to each query of (queries, rows)."""
    n_queries, n_rows = map(len, pair)
    most = n_rows - without_self
    if not 1 <= k <= most or not n_queries:
        raise ShapeError(f"agreement: expected k in 1..{most} for {n_queries} x {n_rows} texts, got {k}")
    queries, rows = map(unit_rows, pair)
    nearest = np.empty((n_queries, k), dtype=np.intp)
    for first in range(0, n_queries, BLOCK):
        scores = cosine_matrix(queries[first : first + BLOCK], rows)
        if without_self:
            scores[np.arange(len(scores)), np.arange(first, first + len(scores))] = -np.inf
        nearest[first : first + len(scores)] = top_rows(scores, k)
    return nearest


def paired_bootstrap(differences: Sequence[float] | np.ndarray, seed: int, rounds: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of the mean of differences (n,), one a query, by drawing queries again.

    Args:
        differences: what one system has on each query less what the other has on it.
        seed: of the random draws.
        rounds: draws of n queries with replacement.

    Raises:
        ShapeError: there are no differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"paired_bootstrap: expected differences of shape (n,), n >= 1, got {values.shape}")
    rng = np.random.default_rng(seed)
    means = [float(rng.choice(values, len(values)).mean()) for _ in range(rounds)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
