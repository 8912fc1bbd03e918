"""Measure ann_recall and latency of an index on held-out rows of its own, and choose nprobe and rescore."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix, Rows, cosines
from hpdsearch.dense.candidates import SearchRequest
from hpdsearch.dense.faiss_factory import SEED
from hpdsearch.dense.operating_points import OperatingPoint, OperatingPoints
from hpdsearch.dense.segment import Segment
from hpdsearch.dense.spec import IndexSpec
from hpdsearch.dense.vector_file import VectorFile

K = 10  # ann_recall is measured on the ten nearest rows
MAX_QUERIES = 300
TIMED_QUERIES = 30
RESCORES = (1, 2, 3, 5, 10, 20, 50)
TIE_EPSILON = 1e-6  # a row is among the K nearest if its score is lower than the K-th by no more than this
MIN_RECALL_GAIN = 0.001  # if twice the lists gain less ann_recall than this, more lists are not tried
Z_95 = 1.645  # one-sided 95 % quantile of the normal distribution
BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class HeldOutQueries:
    """Rows of a segment that serve as queries, and the exact score that a K-nearest row must reach.

    Attributes:
        positions: (m,) position of each query in the segment; it is left out of its own result.
        queries: (m, dim), unit length.
        kth_scores: (m,) exact score of the K-th nearest row.
    """

    positions: Rows
    queries: Matrix
    kth_scores: npt.NDArray[np.float64]


def draw_held_out(vectors: VectorFile) -> HeldOutQueries:
    """Draw MAX_QUERIES rows, at most a tenth of all, and search all other rows exactly, block by block."""
    n = min(MAX_QUERIES, max(1, vectors.n_rows // K))
    positions = np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))
    queries = vectors.rows(positions)
    best = np.full((n, K), -np.inf, np.float32)
    for start in range(0, vectors.n_rows, BLOCK_ROWS):
        block = vectors.block(start, min(start + BLOCK_ROWS, vectors.n_rows))
        scores = queries @ block.T  # (n, block rows)
        own = np.flatnonzero((positions >= start) & (positions < start + len(block)))
        scores[own, positions[own] - start] = -np.inf
        merged = np.concatenate([best, scores], axis=1)
        best = np.partition(merged, merged.shape[1] - K, axis=1)[:, -K:]
    return HeldOutQueries(positions, queries, best.min(axis=1).astype(np.float64))


def measure(segment: Segment, spec: IndexSpec, held_out: HeldOutQueries) -> tuple[OperatingPoints, OperatingPoint]:
    """Measure the operating points of a segment and choose the fastest that meets spec.ann_recall, else the best.

    Args:
        segment: the index to measure.
        spec: nprobe and rescore that are not 0 are the only ones tried.
        held_out: drawn from the segment's own vectors.

    Returns:
        all operating points on the Pareto front; the chosen one.
    """
    points = []
    for nprobe, is_near in _search_by_nprobe(segment, spec, held_out):
        for rescore in [spec.rescore] if spec.rescore else RESCORES:
            recalls = np.minimum(is_near[:, : K * rescore].sum(axis=1), K) / K
            points.append(OperatingPoint(nprobe, rescore, float(recalls.mean()), lower_bound(recalls), 0.0))
    front = pareto_front(_time_points(segment, _drop_dominated(points), held_out.queries[:TIMED_QUERIES]))
    measured = OperatingPoints(tuple(front), spec.ann_recall, False, len(held_out.positions))
    point = measured.choose(spec.ann_recall)
    return replace(measured, is_met=point.ann_recall_lower >= spec.ann_recall), point


def lower_bound(recalls: npt.NDArray[np.float64]) -> float:
    """Return the one-sided 95 % lower confidence bound of the mean of the queries' recalls (m,).

    This is Wilson's interval with a design effect: the K neighbors of a query are found or missed together, so they
    count as fewer than K independent draws. The effect is the variance between queries over that of independent draws.

    Sources: Wilson 1927, "Probable inference, the law of succession, and statistical inference"; Kish 1965, "Survey
    sampling" (design effect).
    """
    p = float(recalls.mean())
    n = float(len(recalls) * K)
    if 0 < p < 1:
        n /= max(1.0, float(recalls.var()) * K / (p * (1 - p)))
    z = Z_95
    return (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)


def pareto_front(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Return the points that no other point beats in both ann_recall and latency, ascending in both."""
    front: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.ann_recall)):
        if not front or point.ann_recall > front[-1].ann_recall:
            front.append(point)
    return front


def _search_by_nprobe(
    segment: Segment, spec: IndexSpec, held_out: HeldOutQueries
) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Return for each nprobe which of the candidates (m, n), best codes first, are among the K nearest."""
    n = min(K * (spec.rescore or RESCORES[-1]) + 1, segment.n_rows)  # + 1 for the query's own row
    results: list[tuple[int, npt.NDArray[np.bool_]]] = []
    previous = 0.0
    for nprobe in _nprobe_grid(spec):
        found = segment.codes.nearest(held_out.queries, SearchRequest(n, 0, nprobe, None, segment.n_rows))
        is_near = _compare_with_exact(segment.vectors, held_out, _drop_own(found, held_out.positions))
        results.append((nprobe, is_near))
        recall = float(np.minimum(is_near.sum(axis=1), K).mean() / K)
        if recall >= 1 or (results[:-1] and 0 <= recall - previous < MIN_RECALL_GAIN and recall > 0.5):
            break
        previous = recall
    return results


def _nprobe_grid(spec: IndexSpec) -> list[int]:
    """Return the powers of two below nlist, and nlist; only spec.nprobe if it is set."""
    if spec.nprobe or not spec.nlist:
        return [spec.nprobe]
    return [*(2**i for i in range(spec.nlist.bit_length()) if 2**i < spec.nlist), spec.nlist]


def _drop_own(found: Rows, own: Rows) -> Rows:
    """Return the candidates (m, n - 1) without each query's own row; without the last one where it is not found."""
    others = found != own[:, None]
    others[others.all(axis=1), -1] = False
    return np.reshape(found[others], (len(found), -1))


def _compare_with_exact(vectors: VectorFile, held_out: HeldOutQueries, found: Rows) -> npt.NDArray[np.bool_]:
    """Return which candidates (m, n) score at least as high as the K-th nearest row."""
    is_near = np.zeros(found.shape, bool)
    for query, (positions, threshold) in enumerate(zip(found, held_out.kth_scores - TIE_EPSILON, strict=True)):
        valid = positions >= 0
        is_near[query, valid] = cosines(held_out.queries[query], vectors.stored_rows(positions[valid])) >= threshold
    return is_near


def _drop_dominated(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Drop points whose recall another point reaches with less work: latency grows with nprobe and with rescore."""

    def is_dominated(point: OperatingPoint) -> bool:
        return any(
            other.nprobe <= point.nprobe and other.rescore <= point.rescore and other.ann_recall >= point.ann_recall
            for other in points
            if other is not point
        )

    return [point for point in points if not is_dominated(point)]


def _time_points(segment: Segment, points: Sequence[OperatingPoint], queries: Matrix) -> list[OperatingPoint]:
    """Return the points with their median latency. Each query runs at every point, so that a busy moment slows all."""
    seconds = np.empty((len(points), len(queries)))
    for query in range(len(queries)):
        for number, point in enumerate(points):
            start = time.perf_counter()
            segment.nearest(queries[query : query + 1], K, point=point)
            seconds[number, query] = time.perf_counter() - start
    medians = np.median(seconds, axis=1) * 1000
    return [replace(point, milliseconds=float(median)) for point, median in zip(points, medians, strict=True)]
