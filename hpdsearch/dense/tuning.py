"""Measure what an index finds of exact search, and how fast, on held-out rows of its own; choose the setting."""

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

HITS = 10  # recall is measured on the ten nearest
QUERIES = 300
TIMED_QUERIES = 30
RESCORES = (1, 2, 3, 5, 10, 20, 50)
TIE = 1e-6  # a score that is as good as the tenth
GROWTH = 0.001  # visiting twice the lists and finding no more than that: further lists do not matter
Z = 1.645  # one-sided 95 %
BLOCK_ROWS = 16_384

Candidates = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeldOutQueries:
    """Rows of a segment as queries, and what exact search finds for them.

    Attributes:
        positions: (m,) where the queries stand; each is left out of its own answer.
        queries: (m, dim).
        tenth: (m,) the exact score of the tenth nearest row.
    """

    positions: Rows
    queries: Matrix
    tenth: npt.NDArray[np.float64]


def draw_held_out(vectors: VectorFile) -> HeldOutQueries:
    """Draw QUERIES rows, at most a tenth of all, and search all others exactly, block by block."""
    n = min(QUERIES, max(1, vectors.n_rows // HITS))
    positions = np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))
    queries = vectors.rows(positions)
    best = np.full((n, HITS), -np.inf, np.float32)
    for start in range(0, vectors.n_rows, BLOCK_ROWS):
        block = vectors.block(start, min(start + BLOCK_ROWS, vectors.n_rows))
        scores = queries @ block.T
        own = np.flatnonzero((positions >= start) & (positions < start + len(block)))
        scores[own, positions[own] - start] = -np.inf
        both = np.concatenate([best, scores], axis=1)
        best = np.partition(both, both.shape[1] - HITS, axis=1)[:, -HITS:]
    return HeldOutQueries(positions, queries, best.min(axis=1).astype(np.float64))


def measure(segment: Segment, spec: IndexSpec, asked: HeldOutQueries) -> tuple[OperatingPoints, OperatingPoint]:
    """Measure the operating points of a segment; choose the fastest that meets spec.ann_recall, else the best.

    Args:
        segment: what is measured.
        spec: nprobe and rescore that are not 0 are the only ones tried.
        asked: of the segment's own vectors.
    """
    points = []
    for nprobe, found in _found_by_nprobe(segment, spec, asked):
        for rescore in [spec.rescore] if spec.rescore else RESCORES:
            recalls = np.minimum(found[:, : HITS * rescore].sum(axis=1), HITS) / HITS
            points.append(OperatingPoint(nprobe, rescore, float(recalls.mean()), lower_bound(recalls), 0.0))
    front = pareto_front(_timed(segment, _worth_timing(points), asked.queries[:TIMED_QUERIES]))
    curve = OperatingPoints(tuple(front), spec.ann_recall, False, len(asked.positions))
    point = curve.choose(spec.ann_recall)
    return OperatingPoints(
        curve.points, spec.ann_recall, point.ann_recall_lower >= spec.ann_recall, curve.n_queries
    ), point


def lower_bound(recalls: npt.NDArray[np.float64]) -> float:
    """Return the one-sided 95 % lower bound of the mean of the queries' recalls (m,): Wilson's, for clustered draws.

    The ten neighbours of a query are found or missed together, so they count for fewer than ten independent draws: by
    the design effect, the variance between queries over that of independent draws.
    """
    p, n = float(recalls.mean()), float(len(recalls) * HITS)
    if 0 < p < 1:
        n /= max(1.0, float(recalls.var()) * HITS / (p * (1 - p)))
    return (p + Z * Z / (2 * n) - Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))) / (1 + Z * Z / n)


def pareto_front(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Return the points that no other one beats in recall and latency, ascending in both."""
    front: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.ann_recall)):
        if not front or point.ann_recall > front[-1].ann_recall:
            front.append(point)
    return front


def _found_by_nprobe(
    segment: Segment, spec: IndexSpec, asked: HeldOutQueries
) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Return for each nprobe which of the candidates (m, n), best codes first, are among the true nearest."""
    n = min(HITS * (spec.rescore or RESCORES[-1]) + 1, segment.n_rows)  # and the query's own row
    grid, reached = [], 0.0
    for nprobe in _nprobes(spec):
        found = segment.codes.nearest(asked.queries, SearchRequest(n, 0, nprobe, None, segment.n_rows))
        near = _near(segment.vectors, asked, _without_own(found, asked.positions))
        grid.append((nprobe, near))
        recall = float(np.minimum(near.sum(axis=1), HITS).mean() / HITS)
        if recall >= 1 or (grid[:-1] and 0 <= recall - reached < GROWTH and recall > 0.5):
            break
        reached = recall
    return grid


def _nprobes(spec: IndexSpec) -> list[int]:
    if spec.nprobe or not spec.nlist:
        return [spec.nprobe]
    return [*(2**i for i in range(spec.nlist.bit_length()) if 2**i < spec.nlist), spec.nlist]


def _without_own(found: Candidates, own: Rows) -> Candidates:
    """Return the candidates (m, n - 1) without each query's own row, or without the last one where it is not found."""
    others = found != own[:, None]
    others[others.all(axis=1), -1] = False
    return np.reshape(found[others], (len(found), -1))


def _near(vectors: VectorFile, asked: HeldOutQueries, found: Candidates) -> npt.NDArray[np.bool_]:
    near = np.zeros(found.shape, bool)
    for query, (positions, enough) in enumerate(zip(found, asked.tenth - TIE, strict=True)):
        there = positions >= 0
        near[query, there] = cosines(asked.queries[query], vectors.stored_rows(positions[there])) >= enough
    return near


def _worth_timing(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Leave out points that find no more than one with less work; the latency grows with nprobe and with rescore."""

    def beaten(point: OperatingPoint) -> bool:
        return any(
            other.nprobe <= point.nprobe and other.rescore <= point.rescore and other.ann_recall >= point.ann_recall
            for other in points
            if other is not point
        )

    return [point for point in points if not beaten(point)]


def _timed(segment: Segment, points: Sequence[OperatingPoint], queries: Matrix) -> list[OperatingPoint]:
    """Return the points with their latency; each query is asked at every point, so that a busy moment slows all."""
    seconds = np.empty((len(points), len(queries)))
    for query in range(len(queries)):
        for number, point in enumerate(points):
            start = time.perf_counter()
            segment.nearest(queries[query : query + 1], HITS, point=point)
            seconds[number, query] = time.perf_counter() - start
    medians = np.median(seconds, axis=1) * 1000
    return [replace(point, milliseconds=float(median)) for point, median in zip(points, medians, strict=True)]
