"""Metrics as pure functions: rank correlation, ranking quality, agreement with the teacher, confidence intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import cosine_matrix
from hpdsearch.errors import ShapeError

Judgments = Mapping[str, int]  # doc_id -> relevance to one query; a document above 0 is relevant
Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]
BLOCK = 256  # queries compared at once; the scores take BLOCK x n_documents x 8 bytes


def spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Return Spearman's rank correlation of two lists (n,), in -1..1; equal values share their average rank.

    Raises:
        ShapeError: the lists differ in length, or all values of a list are equal.

    Source: Spearman 1904, The American Journal of Psychology 15(1).
    """
    if len(a) != len(b):
        raise ShapeError(f"spearman: expected lists of equal length, got {len(a)} and {len(b)}")
    ranks = [average_ranks(np.asarray(values, dtype=np.float64)) for values in (a, b)]
    centered = [values - values.mean() for values in ranks] if len(a) else ranks
    norm = math.prod(float(np.linalg.norm(values)) for values in centered)
    if norm == 0:
        raise ShapeError(f"spearman: expected at least two different values in each list, got {len(a)} values")
    return float(centered[0] @ centered[1] / norm)


def average_ranks(values: Scores) -> Scores:
    """Return the ranks 1..n of values (n,), smallest value first; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_ranks: Scores = last - (counts - 1) / 2
    return mean_ranks[group]


def rank_doc_ids(scores: Mapping[str, float]) -> list[str]:
    """Return the doc_ids of one query, best first; of equal scores the smaller doc_id first (trec_eval: the larger)."""
    return sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))


def ndcg_at_k(ranking: Sequence[str], judged: Judgments, k: int = 10) -> float:
    """Return nDCG@k of one query, in 0..1; 0 if no document is relevant.

    The gain of a document is its relevance (linear gain, as in trec_eval and BEIR), the discount log2(rank + 1).

    Args:
        ranking: doc_ids, best first.
        judged: relevance by doc_id; unjudged documents and negative relevances have gain 0.
        k: number of ranks that count.

    Source: Järvelin & Kekäläinen 2002, ACM TOIS 20(4), doi:10.1145/582415.582418.
    """
    gains = (max(judged.get(doc_id, 0), 0) for doc_id in ranking[:k])
    ideal = sorted((max(relevance, 0) for relevance in judged.values()), reverse=True)[:k]
    best = _discounted_gain(ideal)
    return _discounted_gain(gains) / best if best else 0.0


def recall_at_k(ranking: Sequence[str], judged: Judgments, k: int = 100) -> float:
    """Return the share of a query's relevant documents that are among the first k; 0 if no document is relevant."""
    relevant = {doc_id for doc_id, relevance in judged.items() if relevance > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def mrr_at_k(ranking: Sequence[str], judged: Judgments, k: int = 10) -> float:
    """Return 1 / rank of a query's first relevant document; 0 if none is among the first k.

    Source of the mean over queries: Voorhees 1999, The TREC-8 Question Answering Track Report.
    """
    return next((1 / rank for rank, doc_id in enumerate(ranking[:k], 1) if judged.get(doc_id, 0) > 0), 0.0)


def _discounted_gain(gains: Iterable[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def top_rows(scores: Scores, k: int) -> Rows:
    """Return the columns (n, k) of the k largest scores in each row of (n, m), k <= m, best first.

    Of equal scores the smaller column comes first.
    """
    least = np.partition(scores, -k, axis=1)[:, -k]
    found = np.empty((len(scores), k), dtype=np.intp)
    for row, lowest, columns in zip(scores, least, found, strict=True):
        candidates = np.flatnonzero(row >= lowest)
        columns[:] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return found


def neighbor_agreement(ours: np.ndarray, teacher: np.ndarray, k: int = 10) -> float:
    """Return the mean share of the teacher's k nearest neighbors that are among our k nearest, in 0..1.

    A text is not a neighbor of itself. Neighbors are ranked by cosine; of equal cosines the smaller row comes first.

    Args:
        ours: vectors of n texts, float (n, dim), of any length.
        teacher: the teacher's vectors of the same texts, float (n, teacher_dim), of any length.
        k: number of neighbors, 1 <= k < n.

    Raises:
        ShapeError: the numbers of texts differ, or k is out of range.
    """
    return _mean_overlap((ours, ours), (teacher, teacher), k, without_self=True)


def search_agreement(ours: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray], k: int = 10) -> float:
    """Return the mean share of the teacher's k nearest documents that are among our k nearest, in 0..1.

    Args:
        ours: vectors of queries, float (n_queries, dim), and of documents, float (n_documents, dim), of any length.
        teacher: the teacher's vectors of the same queries and documents, of width teacher_dim.
        k: number of documents, 1 <= k <= n_documents.

    Raises:
        ShapeError: the numbers of texts differ, or k is out of range.
    """
    return _mean_overlap(ours, teacher, k, without_self=False)


def nearest_neighbors(vectors: np.ndarray, k: int = 10) -> Rows:
    """Return the rows (n, k) of each text's k nearest other texts by cosine, nearest first.

    Args:
        vectors: float (n, dim), of any length.
        k: number of neighbors, 1 <= k < n.

    Raises:
        ShapeError: k is out of range.
    """
    return _nearest_rows((vectors, vectors), k, without_self=True)


def neighbor_overlap(ours: Iterable[Rows], teacher: Rows) -> Scores:
    """Return the share of the teacher's neighbors of each text that are also ours, float64 (n,), in 0..1.

    Args:
        ours: for each of n texts the rows of its neighbors, any number of them, without repetition.
        teacher: rows of the teacher's k neighbors of each text, (n, k).
    """
    shared = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(ours, teacher, strict=True)]
    shares: Scores = np.array(shared, dtype=np.float64) / teacher.shape[1]
    return shares


def _mean_overlap(
    ours: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray], k: int, *, without_self: bool
) -> float:
    shapes = [[len(part) for part in pair] for pair in (ours, teacher)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"agreement: expected vectors of the same texts, got {shapes[0]} of ours and {shapes[1]} of the teacher"
        )
    nearest = [_nearest_rows(pair, k, without_self=without_self) for pair in (ours, teacher)]
    return float(neighbor_overlap(nearest[0], nearest[1]).mean())


def _nearest_rows(pair: tuple[np.ndarray, np.ndarray], k: int, *, without_self: bool) -> Rows:
    """Return the rows (n_queries, k) nearest to each query of (queries, rows)."""
    n_queries, n_rows = map(len, pair)
    most = n_rows - without_self
    if not 1 <= k <= most or not n_queries:
        raise ShapeError(f"agreement: expected k in 1..{most} for {n_queries} x {n_rows} texts, got {k}")
    queries, rows = pair
    nearest = np.empty((n_queries, k), dtype=np.intp)
    for first in range(0, n_queries, BLOCK):
        scores = cosine_matrix(queries[first : first + BLOCK], rows)
        if without_self:
            scores[np.arange(len(scores)), np.arange(first, first + len(scores))] = -np.inf
        nearest[first : first + len(scores)] = top_rows(scores, k)
    return nearest


def paired_bootstrap(differences: Sequence[float] | np.ndarray, seed: int, rounds: int = 1000) -> tuple[float, float]:
    """Return the 95 % confidence interval (low, high) of the mean difference of two systems over queries.

    It is the percentile interval over resampled sets of queries.

    Args:
        differences: metric of one system minus metric of the other, for each query, (n,), n >= 1.
        seed: seed of the random draws.
        rounds: number of samples of n queries, drawn with replacement.

    Raises:
        ShapeError: the differences are empty or not of shape (n,).

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap; for paired systems Koehn 2004, ACL W04-3250.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"paired_bootstrap: expected differences of shape (n,), n >= 1, got {values.shape}")
    rng = np.random.default_rng(seed)
    means = [float(rng.choice(values, len(values)).mean()) for _ in range(rounds)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
