"""Compare nDCG@10 with bytes per document and with microseconds per query; every system is a point.

    python -m benchmarks.report.pareto     # joins results/retrieval.json and results/encoding.json

Bytes, search time and quality of a point belong to one index of one run: judged queries over a haystack of texts, on
one thread. The end-to-end time adds the time of the encoder from encoding.json.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.labels import index_label
from benchmarks.common.results import RESULTS, Result, measurement, result, write_result
from benchmarks.common.style import CODEC_MARKERS, ENCODER_COLORS, point_style
from benchmarks.report.show_results import read_result
from hpdsearch.common.plotting import save_figure

BYTES, SEARCH, QUALITY = "bytes a document", "query p50", "nDCG@10"


@dataclass(frozen=True)
class CostPoint:
    """One system.

    Attributes:
        system: full name.
        encoder: name of the document encoder, or BM25.
        dim: dimensions; None without vectors.
        index: index type and codec.
        n: number of documents.
        ndcg: nDCG@10 x 100 of the judged queries.
        size_bytes: bytes per document in memory.
        search_us: microseconds per search on one thread.
        encode_us: microseconds per query encoding on one thread; None if not measured, 0 for BM25.
    """

    system: str
    encoder: str
    dim: int | None
    index: str
    n: int
    ndcg: float
    size_bytes: float
    search_us: float
    encode_us: float | None

    @property
    def whole_us(self) -> float | None:
        """Return the microseconds from the query text to the hits."""
        return None if self.encode_us is None else self.search_us + self.encode_us


def main() -> None:
    """Read the options, join, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--output", type=Path, default=RESULTS / "pareto.json", help="result file")
    options = parser.parse_args()
    sources = [read_result(options.results / f"{name}.json") for name in ("retrieval", "encoding")]
    points = join_results(*sources)
    settings = {
        "joined from": [f"{one['benchmark']}, {one['date']}, commit {one['commit']}" for one in sources],
        "n": points[0].n,
        "encode": "median of a single text, one core, from encoding.json; the fastest configuration of a model",
        "best": {
            name: [one.system for one in pareto_front(points, name)] for name in ("size_bytes", "search_us", "whole_us")
        },
    }
    measurements = [each for one in points for each in point_measurements(one)]
    write_result(result("pareto", settings, measurements, []) | {"points": list(map(asdict, points))}, options.output)
    draw(points, options.output.with_suffix(".svg"))


def join_results(retrieval: Result, encoding: Result) -> list[CostPoint]:
    """Return a point for each index with nDCG@10, at the size with the most such indexes.

    Raises:
        SystemExit: no index has nDCG@10.
    """
    systems: dict[tuple[int, str], dict[str, Result]] = {}
    for one in retrieval["measurements"]:
        if "system" in one and "n" in one:
            systems.setdefault((one["n"], one["system"]), {})[one["what"]] = one
    complete = {key: found for key, found in systems.items() if {BYTES, SEARCH, QUALITY} <= found.keys()}
    if not complete:
        raise SystemExit(f"retrieval.json: expected systems with {BYTES}, {SEARCH} and {QUALITY}, got none")
    sizes = [n for n, _ in complete]
    chosen = max(dict.fromkeys(sizes), key=sizes.count)
    teacher = encoding["settings"].get("teacher")
    encode = {
        f"{teacher}, our way" if one["system"] == "teacher" else one["system"]: 1000 * one["median"]
        for one in encoding["measurements"]
        if one.get("what") == "single text" and one.get("threads") == 1
    }
    return [_make_point(found, encode) for (n, _), found in complete.items() if n == chosen]


def _make_point(found: dict[str, Result], encode: dict[str, float]) -> CostPoint:
    one = found[QUALITY]
    query_encoder = str(one.get("queries_encoder", one["encoder"]))  # stored key
    return CostPoint(
        one["system"],
        one["encoder"],
        one["dim"],
        one["index"],
        one["n"],
        one["median"],
        found[BYTES]["median"],
        1000 * found[SEARCH]["median"],
        0.0 if one["dim"] is None else _encode_us(query_encoder, encode),
    )


def _encode_us(encoder: str, encode: dict[str, float]) -> float | None:
    """Return the time of encoding a query, with the fastest configuration of the encoder; None if not measured."""
    times = [time for name, time in encode.items() if name == encoder or name.startswith(f"{encoder}, ")]
    return min(times, default=None)


def pareto_front(points: Sequence[CostPoint], cost: str) -> list[CostPoint]:
    """Return the Pareto front, the cheapest point first: every other point of equal or lower cost scores lower."""
    kept: list[CostPoint] = []
    known = [one for one in points if getattr(one, cost) is not None]
    for one in sorted(known, key=lambda one: (getattr(one, cost), -one.ndcg)):
        if not kept or one.ndcg > kept[-1].ndcg:
            kept.append(one)
    return kept


def point_measurements(one: CostPoint) -> Iterable[Result]:
    """Yield the measurements of a point."""
    about = {"system": one.system, "encoder": one.encoder, "dim": one.dim, "index": one.index, "n": one.n}
    values = {QUALITY: (one.ndcg, ""), BYTES: (one.size_bytes, "B"), "search": (one.search_us, "us")}
    if one.whole_us is not None:
        values["encoding and search"] = (one.whole_us, "us")
    for what, (value, unit) in values.items():
        yield measurement(f"{one.system}: {what}", unit, [value]) | about | {"what": what}


def draw(points: Sequence[CostPoint], path: Path) -> None:
    """Draw quality against bytes, search time and end-to-end time."""
    panels = {
        "size_bytes": "memory of the index: bytes per document",
        "search_us": "search only: microseconds per query",
        "whole_us": "encoding and search: microseconds per query",
    }
    with save_figure(path, width=13, height=5.6) as figure:
        for axes, (cost, label) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
            front = pareto_front(points, cost)
            axes.step(
                [getattr(one, cost) for one in front],
                [one.ndcg for one in front],
                where="post",
                color="#BBBBBB",
                linewidth=6,
                solid_capstyle="round",
                zorder=0,
            )
            for one in points:
                if getattr(one, cost) is not None:
                    axes.plot([getattr(one, cost)], [one.ndcg], **_look(one))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.set_xlabel(label)
        figure.axes[0].set_ylabel(f"nDCG@10 x 100, judged queries over {points[0].n:,} texts")
        figure.legend(handles=_legend(points), loc="outside lower center", ncols=6, fontsize=9)


def _look(one: CostPoint) -> dict[str, Any]:
    return point_style(one.encoder, one.index, hollow=one.dim is not None and one.dim <= 128)


def _legend(points: Sequence[CostPoint]) -> list[Any]:
    """Return the handles of the legend: colors for encoders, markers for indexes, hollow markers for few dimensions."""
    from matplotlib.lines import Line2D

    encoders = dict.fromkeys(one.encoder for one in points)
    indexes = dict.fromkeys(one.index.split()[-1] for one in points)
    colors = [Line2D([], [], **{**point_style(name, "sq8"), "marker": "s"}, label=name) for name in encoders]
    gray: dict[str, Any] = {"color": ENCODER_COLORS["teacher projected"], "linestyle": "none"}
    markers = [Line2D([], [], marker=CODEC_MARKERS.get(name, "P"), **gray, label=index_label(name)) for name in indexes]
    hollow = Line2D([], [], marker="o", markerfacecolor="none", **gray, label="hollow: 128 dimensions or fewer")
    front = Line2D([], [], color="#BBBBBB", linewidth=6, label="Pareto front")
    return [*colors, *markers, hollow, front]


if __name__ == "__main__":
    main()
