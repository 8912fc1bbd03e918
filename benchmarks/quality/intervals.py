"""How sure a difference of two systems is: 95 % intervals by the paired bootstrap, over queries and over pairs.

What is drawn again, a query or a pair of sentences, is drawn for both systems alike, with replacement, as many as the
collection or task has; so a small one weighs as much in each draw as in the mean.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

ROUNDS = 1000
BLOCK = 100  # draws made at once: memory stays at BLOCK x pairs

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def interval_over_queries(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], seed: int
) -> tuple[float, float]:
    """Return the interval (low, high) of what one system has above the other, the mean over collections.

    Args:
        ours: of each collection the value of each query, by query_id.
        theirs: the same collections and queries.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = np.zeros(ROUNDS)
    for one, other in zip(ours, theirs, strict=True):
        differences = np.array([value - other[query_id] for query_id, value in one.items()])
        drawn = rng.integers(len(differences), size=(ROUNDS, len(differences)))
        draws += differences[drawn].mean(axis=1) / len(ours)
    return _interval(draws)


def interval_over_pairs(
    ours: Sequence[Floats], theirs: Sequence[Floats], people: Sequence[Floats], seed: int
) -> tuple[float, float]:
    """Return the interval (low, high) of what one system has above the other in Spearman x 100, the mean over tasks.

    Every draw is ranked again, both systems and the people's scores, equal values sharing their mean rank. A draw in
    which a list holds one value only has no correlation and is left out; that happens to tasks of few pairs.

    Args:
        ours: of each task the cosine of each pair, (n_pairs,).
        theirs: the same tasks and pairs.
        people: their scores.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = np.zeros(ROUNDS)
    for one, other, scores in zip(ours, theirs, people, strict=True):
        for first in range(0, ROUNDS, BLOCK):
            counts = _draw_counts(len(scores), min(BLOCK, ROUNDS - first), rng)
            wanted = _rank_draws(scores, counts)
            above = [_correlations(_rank_draws(cosines, counts), wanted, counts) for cosines in (one, other)]
            draws[first : first + len(counts)] += 100 * (above[0] - above[1]) / len(ours)
    return _interval(draws)


def _draw_counts(n: int, rounds: int, rng: np.random.Generator) -> Counts:
    """Return how often each of n pairs is among n draws with replacement, (rounds, n)."""
    drawn = rng.integers(n, size=(rounds, n)) + n * np.arange(rounds)[:, None]
    return np.bincount(drawn.ravel(), minlength=rounds * n).reshape(rounds, n)


def _rank_draws(values: Floats, counts: Counts) -> Floats:
    """Return the rank of each value (n,) among the drawn ones, (rounds, n), less the mean rank.

    The values are sorted once, whatever is drawn: what stands before a value is a running sum of counts.
    """
    group = np.unique(values, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))  # where another value begins
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
