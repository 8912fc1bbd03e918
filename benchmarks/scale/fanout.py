"""Measure what a query over many shards waits for: latencies of shards of a real index, and merging of their hits.

A corpus is split by the hash of its doc_ids into shards, each a complete index folder. Every query is sent to every
shard in turn. A search that waited for a core, because other programs used it, is repeated, and left out if it always
waited. Hybrid is dense and lexical search one after another, as on one core. The slowest shard of each query is
compared with the maximum of as many independent draws from all latencies, which is the formula of
hpdsearch/cluster/fanout.py; more shards are computed by the formula alone.
"""

import hashlib
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
from hpdsearch.cluster.fanout import SAMPLES_BEYOND, LatencyShape
from hpdsearch.cluster.merging import merge_hits
from hpdsearch.common.plotting import BLUE, ORANGE, VERMILION, save_figure
from hpdsearch.records import Hit

Latencies = npt.NDArray[np.float64]  # (queries, shards), milliseconds; NaN: left out
SHARDS = (8, 16, 32, 64, 128, 256)
MERGED_K = (10, 100)
MODES = ("dense", "hybrid")
PERCENTILES = (50, 95, 99)
K = 10
MAX_WAITED = 0.02  # of a search's time; a search that waited longer for a core is left out
ATTEMPTS = 6  # at a search that does not wait for a core
LEAST_ROWS = 100  # queries of which no search was left out, for percentiles of the slowest shard
SEED = 6
PROBABILITIES = (0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)


def shard_of(doc_id: str, n_shards: int) -> int:
    """Return the shard of a document in this benchmark, by a hash of its doc_id."""
    return int.from_bytes(hashlib.blake2b(doc_id.encode(), digest_size=8).digest(), "little") % n_shards


def build_shards(documents: Sequence[Document], n_shards: int, encoder: Encoder, work: Path) -> list[Path]:
    """Build the index folder of each shard and return their paths; existing folders are kept."""
    parts: list[list[Document]] = [[] for _ in range(n_shards)]
    for document in documents:
        parts[shard_of(document.doc_id, n_shards)].append(document)
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
    """Return the distribution of all latencies relative to their median.

    It ends with the last of PROBABILITIES above which enough latencies were measured: the largest ones are chance.
    """
    pooled = np.sort(latencies[np.isfinite(latencies)])
    middle = float(np.median(pooled))
    known = [p for p in PROBABILITIES if (1 - p) * len(pooled) >= SAMPLES_BEYOND]
    quantiles = [(p, six_digits(np.quantile(pooled, p) / middle)) for p in known]
    return LatencyShape(len(pooled), six_digits(pooled.mean() / middle), tuple(quantiles))


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
    """Yield the milliseconds of merging the k best hits of n shards, sorted as a shard returns them."""
    for k in MERGED_K:
        for n_shards in SHARDS:
            rankings = make_rankings(n_shards, k)
            merge_hits(rankings, k)
            times = [time_merge(rankings, k) for _ in range(max(repeats, 3))]
            about = {"what": "merge", "n_shards": n_shards, "k": k}
            yield measurement(f"merging {k} hits of {n_shards} shards", "ms", times) | about


def make_rankings(n_shards: int, k: int) -> list[list[Hit]]:
    """Return k hits of each shard with random scores, best first."""
    scores = np.sort(np.random.default_rng([SEED, n_shards, k]).random((n_shards, k)))[:, ::-1]
    return [
        [Hit(f"d{shard}-{place}", float(score), "", "", "") for place, score in enumerate(row)]
        for shard, row in enumerate(scores)
    ]


def time_merge(rankings: Sequence[Sequence[Hit]], k: int, calls: int = 50) -> float:
    """Return the milliseconds of a merge, the median of some calls."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        merge_hits(rankings, k)
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


def plot_fanout(measurements: Sequence[Result], path: Path) -> None:
    """Draw p50, p95 and p99 of the slowest shard and of merging, against the number of shards."""
    merging = {one["n_shards"]: one["median"] for one in measurements if one.get("what") == "merge" and one["k"] == K}
    with save_figure(path, width=11, height=4.5) as figure:
        for axes, mode in zip(figure.subplots(1, len(MODES), sharey=True), MODES, strict=True):
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
        figure.axes[-1].legend(ncols=3, fontsize="small", loc="lower right")


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
