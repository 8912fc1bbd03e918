"""Compute 95 % intervals of the difference of two systems by the paired bootstrap, over queries or sentence pairs.

Each draw takes the same queries or pairs for both systems, with replacement, and as many as the collection or task has.
So a small collection has the same weight in each draw as in the mean.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

ROUNDS = 1000
BLOCK = 100  # draws per step; memory is BLOCK x pairs

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def interval_over_queries(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], seed: int
) -> tuple[float, float]:
    """Return the interval (low, high) of the difference ours - theirs, as the mean over collections.

    Args:
        ours: for each collection, query_id -> value.
        theirs: the same collections and queries.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = np.zeros(ROUNDS)
    for one, other in zip(ours, theirs, strict=True):
        differences = np.array([value - other[query_id] for query_id, value in one.items()])
        drawn = rng.integers(len(differences), size=(ROUNDS, len(differences)))
        draws += differences[drawn].mean(axis=1) / len(ours)
    return _interval(draws)


def interval_over_pairs(
    ours: Sequence[Floats], theirs: Sequence[Floats], human: Sequence[Floats], seed: int
) -> tuple[float, float]:
    """Return the interval (low, high) of the difference ours - theirs in Spearman x 100, as the mean over tasks.

    Every draw is ranked again for both systems and the human scores; equal values share their mean rank. A draw in
    which all values of a list are equal has no correlation and is left out. This happens only to tasks with few pairs.

    Args:
        ours: for each task, the cosines (n_pairs,).
        theirs: the same tasks and pairs.
        human: for each task, the human scores (n_pairs,).
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = np.zeros(ROUNDS)
    for one, other, scores in zip(ours, theirs, human, strict=True):
        for first in range(0, ROUNDS, BLOCK):
            counts = _draw_counts(len(scores), min(BLOCK, ROUNDS - first), rng)
            human_ranks = _rank_draws(scores, counts)
            found = [_correlations(_rank_draws(cosines, counts), human_ranks, counts) for cosines in (one, other)]
            draws[first : first + len(counts)] += 100 * (found[0] - found[1]) / len(ours)
    return _interval(draws)


def _draw_counts(n: int, rounds: int, rng: np.random.Generator) -> Counts:
    """Return how often each of n pairs occurs in n draws with replacement, (rounds, n)."""
    drawn = rng.integers(n, size=(rounds, n)) + n * np.arange(rounds)[:, None]
    return np.bincount(drawn.ravel(), minlength=rounds * n).reshape(rounds, n)


def _rank_draws(values: Floats, counts: Counts) -> Floats:
    """Return the rank of each value (n,) among the drawn values minus the mean rank, (rounds, n).

    The values are sorted once for all draws: the rank of a value follows from the cumulative counts of smaller values.
    """
    group = np.unique(values, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))  # start of each group of equal values
    equal = np.add.reduceat(counts[:, order], starts, axis=1)  # (rounds, n_values)
    ranks = np.cumsum(equal, axis=1) - (equal - 1) / 2
    centered: Floats = ranks[:, group] - (len(values) + 1) / 2
    return centered


def _correlations(a: Floats, b: Floats, counts: Counts) -> Floats:
    """Return the correlation of centered ranks (rounds, n) of each draw, (rounds,); nan where either is constant."""
    products, of_a, of_b = (np.einsum("rn,rn,rn->r", counts, x, y) for x, y in ((a, b), (a, a), (b, b)))
    norms = np.sqrt(of_a * of_b)
    found: Floats = np.divide(products, norms, out=np.full(len(norms), np.nan), where=norms > 0)
    return found


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high)
