"""The latency of a query: of one shard by its size, of all shards together, and the machines for a rate of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from hpdsearch.cluster.capacity import code_bytes
from hpdsearch.cluster.estimates import Basis, Estimate, interpolate
from hpdsearch.cluster.figures import Figures, SearchFigure
from hpdsearch.dense import Codec, IndexType
from hpdsearch.dense.auto import SCAN_LATENCY_MS
from hpdsearch.errors import PlanError

PERCENTILES = (0.5, 0.95, 0.99)
K = 10  # hits of a query: all latencies were measured with it
UTILIZATION = 0.5  # of the cores at the wanted rate; queries that wait for a core are not in the measured latencies


def segment_milliseconds(
    figures: Figures, kind: IndexType, codec: Codec, dim: int, n: int, ann_recall: float
) -> Estimate:
    """Return the median latency of a query in a segment, on one thread.

    It is interpolated between the measured sizes. For a width that was not measured, the nearest one is scaled by the
    bytes of the codes.

    Args:
        figures: measured.
        kind: flat or ivf.
        codec: no auto.
        dim: dimensions of the coded vectors.
        n: vectors of the segment.
        ann_recall: recall target, 0 < ann_recall <= 1.

    Raises:
        PlanError: this index, or a recall as high as this, was not measured.
    """
    known = [one for one in figures.search if (one.kind, one.codec) == (kind.value, codec.value)]
    if not known:
        measured = sorted({f"{one.kind} {one.codec}" for one in figures.search})
        raise PlanError(
            f"index: expected one that was measured ({', '.join(measured)}), got {kind.value} {codec.value}"
        )
    width = min({one.dim for one in known}, key=lambda measured: (abs(log(measured / dim)), measured))
    sizes = sorted((one for one in known if one.dim == width), key=lambda one: one.n_passages)
    points = [(one.n_passages, recall_milliseconds(one, ann_recall)) for one in _around(sizes, n)]
    found = interpolate(points, n)
    if width == dim:
        return found
    scale = code_bytes(kind, codec, n, dim) / code_bytes(kind, codec, n, width)
    return Estimate(found.value * scale, Basis.EXTRAPOLATED)


def _around(sizes: Sequence[SearchFigure], n: int) -> Sequence[SearchFigure]:
    """Return the figure of n passages, or the two on whose line n lies."""
    for one in sizes:
        if one.n_passages == n:
            return [one]
    right = next((i for i, one in enumerate(sizes) if one.n_passages > n), len(sizes) - 1)
    right = min(max(right, 1), len(sizes) - 1)
    return sizes[max(right - 1, 0) : right + 1]


def recall_milliseconds(figure: SearchFigure, ann_recall: float) -> float:
    """Return the median latency at a recall target: that of the measured target, scaled by the operating points.

    Raises:
        PlanError: no operating point reaches it.
    """
    points = figure.points or ((figure.recall_target, figure.milliseconds),)
    best = points[-1][0]
    if ann_recall > max(best, figure.recall_target):
        raise PlanError(
            f"ann_recall: expected at most {max(best, figure.recall_target):.3f}, the highest that was measured for "
            f"{figure.kind} {figure.codec} with {figure.n_passages:,} passages of {figure.dim} dimensions, "
            f"got {ann_recall:g}"
        )
    at = [
        next((ms for recall, ms in points if recall >= wanted), points[-1][1])
        for wanted in (ann_recall, figure.recall_target)
    ]
    return figure.milliseconds * at[0] / at[1]


def choose_type(figures: Figures, codec: Codec, dim: int, n: int, ann_recall: float) -> IndexType:
    """Return flat if its scan stays within the latency goal of `auto`, else ivf."""
    if not any((one.kind, one.codec) == ("flat", codec.value) for one in figures.search):
        return IndexType.IVF
    scan = segment_milliseconds(figures, IndexType.FLAT, codec, dim, n, ann_recall)
    return IndexType.FLAT if scan.value < SCAN_LATENCY_MS else IndexType.IVF


@dataclass(frozen=True)
class QueryLatency:
    """Milliseconds of a query at PERCENTILES, and the processor time that it takes.

    Attributes:
        encode: encoding of the query, once.
        shard: one shard.
        slowest: the slowest of all shards.
        merge: merging their hits.
        total: encoding, the slowest shard and merging, each at its percentile.
        core: milliseconds of one core for the query, on all shards together.
    """

    encode: tuple[Estimate, ...]
    shard: tuple[Estimate, ...]
    slowest: tuple[Estimate, ...]
    merge: Estimate
    total: tuple[Estimate, ...]
    core: Estimate


def query_latency(
    figures: Figures, encoder: str, segment: Estimate, n_shards: int, shard_passages: int, *, hybrid: bool
) -> QueryLatency:
    """Return the latency of a query over all shards.

    Args:
        figures: measured.
        encoder: name of the encoder of queries.
        segment: median of the scan of one shard (`segment_milliseconds`).
        n_shards: shards.
        shard_passages: passages of one.
        hybrid: rank by BM25 too.

    Raises:
        PlanError: the encoder's latency was not measured.
    """
    if encoder not in figures.single_text:
        raise PlanError(f"encoder: expected one of {', '.join(sorted(figures.single_text))}, got {encoder}")
    median = segment + interpolate([(one.n_passages, one.documents) for one in figures.stages], shard_passages)
    if hybrid:
        median += interpolate([(one.n_passages, one.lexical) for one in figures.stages], shard_passages)
    shape = figures.shapes["hybrid" if hybrid else "dense"]
    encode = tuple(Estimate(ms, Basis.MEASURED) for ms in figures.single_text[encoder])
    one_shard = tuple(median * shape.quantile(p) for p in PERCENTILES)
    slowest = tuple(median * shape.maximum_quantile(p, n_shards) for p in PERCENTILES)
    merge = Estimate(0) if n_shards == 1 else merge_milliseconds(figures, n_shards, hybrid=hybrid)
    total = tuple(a + b + merge for a, b in zip(encode, slowest, strict=True))
    core = encode[0] + median * (n_shards * shape.mean) + merge
    return QueryLatency(encode, one_shard, slowest, merge, total, core)


def merge_milliseconds(figures: Figures, n_shards: int, *, hybrid: bool) -> Estimate:
    """Return the time of merging the candidates of n shards into K hits."""
    mode = "hybrid" if hybrid else "dense"
    return interpolate(
        sorted((one.n_shards, one.milliseconds) for one in figures.merging if one.mode == mode), n_shards
    )


def cores_for_rate(core_milliseconds: Estimate, queries_per_second: float) -> Estimate:
    """Return the cores that so many queries a second keep busy to UTILIZATION."""
    return core_milliseconds * (queries_per_second / 1000 / UTILIZATION)
