"""Measure what a query over many shards waits for: latencies of shards of a real index, and merging of their hits.

A corpus is split by the hash of its doc_ids into shards, each a complete index folder. Every query is sent to every
shard in turn. A search that waited for a core, because other programs used it, is repeated, and left out if it always
waited. Hybrid is dense and lexical search one after another, as on one core. The slowest shard of each query is
compared with the formula of hpdsearch/cluster/fanout.py; more shards are computed by the formula alone.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.results import Result, measurement, six_digits
from benchmarks.common.waiting import waited_milliseconds
from hpdsearch import Document, Encoder, Index
from hpdsearch.catalog import SHARD_STEP
from hpdsearch.cluster.fanout import NORMAL, SAMPLES_BEYOND, LatencyShape
from hpdsearch.cluster.latency import K
from hpdsearch.common.plotting import BLUE, ORANGE, VERMILION, save_figure
from hpdsearch.index.shards.cluster_file import choose_shard
from hpdsearch.search import Mode
from hpdsearch.search.one_shard import Candidate, PartOptions, merge_parts

Latencies = npt.NDArray[np.float64]  # (queries, shards), milliseconds; NaN: left out
SHARDS = (8, 16, 32, 64, 128, 256)
MODES = ("dense", "hybrid")
PERCENTILES = (50, 95, 99)
MAX_WAITED = 0.02  # of a search's time; a search that waited longer for a core is left out
ATTEMPTS = 6  # at a search that does not wait for a core
LEAST_ROWS = 100  # queries of which no search was left out, for percentiles of the slowest shard
SEED = 6
PROBABILITIES = (0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)


def build_shards(documents: Sequence[Document], n_shards: int, encoder: Encoder, work: Path) -> list[Path]:
    """Build the index folder of each shard and return their paths; existing folders are kept."""
    parts: list[list[Document]] = [[] for _ in range(n_shards)]
    for document in documents:
        parts[choose_shard(document.doc_id, n_shards)].append(document)
    folders = [work / f"shard-{number}-of-{n_shards}" for number in range(n_shards)]
    for folder, part in zip(folders, parts, strict=True):
        if not folder.exists():
            Index.build(folder, part, encoder=encoder).close()
    return folders


def measure_modes(
    folders: Sequence[Path], encoder: Encoder, queries: Sequence[str], repeats: int
) -> dict[str, Latencies]:
    """Return the latencies of dense search, and of dense and lexical search one after another, by mode."""
    dense, lexical = (measure_latencies(folders, encoder, queries, mode, repeats) for mode in ("dense", "lexical"))
    return dict(zip(MODES, (dense, dense + lexical), strict=True))


def measure_latencies(
    folders: Sequence[Path], encoder: Encoder, queries: Sequence[str], mode: str, repeats: int
) -> Latencies:
    """Return the milliseconds (repeats * queries, shards) of each query in each shard; one round is a warm-up."""
    indexes = [Index.open(folder, encoder=encoder) for folder in folders]
    rounds = []
    try:
        for number in range(repeats + 1):
            times = [[time_search(index, text, mode) for index in indexes] for text in queries]
            if number:
                rounds.append(times)
    finally:
        for index in indexes:
            index.close()
    return np.concatenate(rounds)


def time_search(index: Index, text: str, mode: str) -> float:
    """Return the milliseconds of a search that did not wait for a core, or NaN if each attempt waited."""
    for _ in range(ATTEMPTS):
        waited = waited_milliseconds()
        start = time.perf_counter()
        index.search(text, K, mode=mode)
        milliseconds = (time.perf_counter() - start) * 1000
        if waited_milliseconds() - waited <= MAX_WAITED * milliseconds:
            return milliseconds
    return np.nan


def fit_shape(latencies: Latencies) -> LatencyShape:
    """Return the distribution of all latencies relative to their median, and their correlation.

    It ends with the last of PROBABILITIES above which enough latencies were measured: the largest ones are chance.
    """
    known = np.isfinite(latencies)
    pooled = latencies[known]
    middle = float(np.median(pooled))
    quantiles = [p for p in PROBABILITIES if (1 - p) * len(pooled) >= SAMPLES_BEYOND]
    return LatencyShape(
        len(pooled),
        six_digits(pooled.mean() / middle),
        tuple((p, six_digits(np.quantile(pooled, p) / middle)) for p in quantiles),
        six_digits(correlation(latencies[known.all(axis=1)])),
    )


def correlation(latencies: Latencies) -> float:
    """Return the correlation of the normal scores of two shards' latencies of a query, 0 to 1.

    It is the share of the variance that is between queries (analysis of variance with one random effect). One shard
    tells nothing of it: 0.
    """
    n_queries, n_shards = latencies.shape
    if n_shards == 1 or n_queries < 2:
        return 0.0
    ranks = latencies.ravel().argsort().argsort().reshape(latencies.shape)
    scores = np.vectorize(NORMAL.inv_cdf)((ranks + 0.5) / ranks.size)
    within = float(scores.var(axis=1, ddof=1).mean())
    between = max(float(scores.mean(axis=1).var(ddof=1)) - within / n_shards, 0.0)
    return float(between / (between + within))


def latency_results(mode: str, latencies: Latencies) -> Iterator[Result]:
    """Yield a shard's latency, and the slowest shard of each query as measured and by the formula."""
    n_shards = latencies.shape[1]
    shape = fit_shape(latencies)
    middle = float(np.nanmedian(latencies))
    slowest = latencies.max(axis=1)
    slowest = slowest[np.isfinite(slowest)]
    share = 100 * float(np.isnan(latencies).mean())
    yield measurement(f"{mode}: searches left out", "%", [share]) | {"mode": mode, "what": "left out"}
    for percent in PERCENTILES:
        about = {"mode": mode, "percent": percent}
        value = [np.nanpercentile(latencies, percent)]
        yield measurement(f"{mode}: one shard, p{percent}", "ms", value) | about | {"what": "shard", "n_shards": 1}
        about["n_shards"] = n_shards
        if len(slowest) >= LEAST_ROWS:
            value = [np.percentile(slowest, percent)]
            name = f"{mode}: slowest of {n_shards}, p{percent}"
            yield measurement(name, "ms", value) | about | {"what": "slowest", "n_queries": len(slowest)}
        for n in sorted({n_shards, *SHARDS}):
            found = shape.maximum_quantile(percent / 100, n)
            name = f"{mode}: slowest of {n}, p{percent}, by the formula"
            about |= {"n_shards": n, "what": "formula", "basis": found.basis.label}
            yield measurement(name, "ms", [middle * found.value]) | about


def measure_merging(repeats: int) -> Iterator[Result]:
    """Yield the milliseconds of merging the candidates of n shards, as a search of K hits gets them from each."""
    for mode in MODES:
        options = PartOptions(K, Mode(mode))
        for n_shards in SHARDS:
            parts = make_parts(n_shards, options)
            merge_parts(parts, options)
            times = [time_merge(parts, options) for _ in range(max(repeats, 3))]
            about = {"what": "merge", "n_shards": n_shards, "merged": mode}
            yield measurement(f"merging the candidates of {n_shards} shards, {mode}", "ms", times) | about


def make_parts(n_shards: int, options: PartOptions) -> list[list[Candidate]]:
    """Return the candidates of each shard with random scores.

    In mode hybrid the two rankings of a shard have no document in common, which makes the most candidates.
    """
    random = np.random.default_rng([SEED, n_shards])
    is_hybrid = options.mode is Mode.HYBRID
    parts = []
    for shard in range(n_shards):
        scores = np.sort(random.random((1 + is_hybrid) * options.depth))[::-1].tolist()
        parts.append(
            [
                Candidate(
                    shard * SHARD_STEP + place,
                    f"d{shard}-{place}",
                    score,
                    shard * SHARD_STEP + place,
                    bm25=10 * float(random.random()) if is_hybrid else None,
                    coverage=float(random.random()),
                    is_near=place < options.depth,
                    is_lexical=place >= options.depth,
                )
                for place, score in enumerate(scores)
            ]
        )
    return parts


def time_merge(parts: Sequence[Sequence[Candidate]], options: PartOptions, calls: int = 50) -> float:
    """Return the milliseconds of a merge, the median of some calls."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        merge_parts(parts, options)
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


def plot_fanout(measurements: Sequence[Result], path: Path) -> None:
    """Draw p50, p95 and p99 of the slowest shard and of merging, against the number of shards."""
    with save_figure(path, width=11, height=4.5) as figure:
        for axes, mode in zip(figure.subplots(1, len(MODES), sharey=True), MODES, strict=True):
            merged = [one for one in measurements if one.get("merged") == mode]
            merging = {one["n_shards"]: one["median"] for one in merged}
            shown = [one for one in measurements if one.get("mode") == mode and one.get("n_shards") in merging]
            for percent, color, marker in zip(PERCENTILES, (BLUE, ORANGE, VERMILION), "os^", strict=True):
                _draw_percentile(axes, [one for one in shown if one["percent"] == percent], merging, color, marker)
            axes.set_xscale("log", base=2)
            axes.set_xticks(SHARDS, [str(n) for n in SHARDS])
            axes.set_xlabel("shards")
            axes.set_title(mode)
        first = figure.axes[0]  # both share its scale, which is fixed when all is drawn
        first.set_ylim(bottom=0)
        first.set_ylabel("slowest shard and merging (ms)")
        first.legend(ncols=2, fontsize="small", loc="upper left")


def _draw_percentile(
    axes: Any, measurements: Sequence[Result], merging: Mapping[int, float], color: str, marker: str
) -> None:
    """Draw a line by the formula, hollow where it is extrapolated, and crosses where the slowest was measured."""
    for what, basis, style in (
        ("formula", None, {"linestyle": "-"}),
        ("formula", "interpolated", {"linestyle": "none", "marker": marker, "label": "p{}, formula"}),
        (
            "formula",
            "extrapolated",
            {"linestyle": "none", "marker": marker, "fillstyle": "none", "label": "p{}, extrapolated"},
        ),
        ("slowest", None, {"linestyle": "none", "marker": "x", "markersize": 11, "label": "p{}, measured"}),
    ):
        chosen = [one for one in measurements if one["what"] == what and basis in (None, one.get("basis"))]
        if chosen:
            points = [(one["n_shards"], one["median"] + merging[one["n_shards"]]) for one in chosen]
            label = str(style.get("label", "_line")).format(chosen[0]["percent"])
            axes.plot(*zip(*points, strict=True), color=color, **style | {"label": label})
