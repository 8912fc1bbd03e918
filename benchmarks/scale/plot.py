"""Draw scale.json: latency, build time and memory by number of vectors, and recall against latency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.style import CODEC_MARKERS, ENCODER_COLORS, GRAY
from hpdsearch.common.plotting import BLUE, GREEN, ORANGE, VERMILION, save_figure

# Almost all systems use one encoder, so colors stand for codecs. Markers and dashes tell the codecs apart in gray.
CODEC_COLORS = {"sq8": ORANGE, "pq": BLUE, "rabitq": VERMILION, "f32": GRAY, "auto": GREEN}
MARKERS = CODEC_MARKERS | {"auto": "*"}


def plot_scale(made: dict[str, Any], folder: Path) -> None:
    """Draw scale-growth.svg, scale-memory.svg and scale-recall.svg from a result of benchmarks.scale.run."""
    rows = [one for one in made["measurements"] if "what" in one]
    exponents = {(one["system"], one["fit"]): one["median"] for one in made["measurements"] if "fit" in one}
    with save_figure(folder / "scale-growth.svg", width=13, height=4.8) as figure:
        left, right = figure.subplots(1, 2)
        _over_n(left, rows, ["query p50"], exponents)
        left.set_ylabel("one query, median (ms)")
        _over_n(right, rows, ["build"], exponents)
        right.set_ylabel("building from stored vectors (s)")
    with save_figure(folder / "scale-memory.svg", width=8, height=4.8) as figure:
        axes = figure.subplots()
        _over_n(axes, rows, ["memory of its vectors", "resident memory"], {})
        axes.set_ylabel("resident after opening and 1,000 queries (MB);\nf32: its vectors alone")
    with save_figure(folder / "scale-recall.svg", width=12, height=4.5) as figure:
        sizes = sorted({curve["n"] for curve in made["curves"]})
        panels = figure.subplots(1, max(len(sizes), 1), sharey=True, squeeze=False)[0]
        for axes, n in zip(panels, sizes, strict=False):
            _recall(axes, [curve for curve in made["curves"] if curve["n"] == n])
            axes.set_title(f"{n:,} vectors", loc="left", fontsize=10)
        panels[0].set_ylabel("ann_recall@10, vectors of the corpus")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=9)


def _over_n(
    axes: Any, rows: Sequence[dict[str, Any]], whats: Sequence[str], exponents: dict[tuple[str, str], float]
) -> None:
    """Draw one line per system, the highest first in the legend, with its exponent of growth."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in rows:
        if row["what"] in whats:
            lines.setdefault((row["system"], row["what"]), []).append((row["n"], row["median"]))
    for (system, what), points in sorted(lines.items(), key=lambda item: -item[1][-1][1]):
        growth = f", n^{exponents[system, what]:.2f}" if (system, what) in exponents else ""
        axes.plot(*zip(*points, strict=True), label=system + growth, **style(system))
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({row["n"] for row in rows})
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("vectors")
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))


def _recall(axes: Any, curves: Sequence[dict[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for curve in curves:
        points = [(point["milliseconds"], point["ann_recall"]) for point in curve["points"]]
        axes.plot(*zip(*points, strict=True), label=curve["system"], **style(curve["system"]))
    axes.axhline(curves[0]["promise"], color="#888888", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("one query, median (ms)")
    axes.set_ylim(0.8, 1.005)


def style(system: str) -> dict[str, Any]:
    """Return the plot arguments of a system: color and marker by codec, dotted lines for flat indexes."""
    codec = system.split()[-1]
    teacher, flat = system.startswith("teacher"), "flat" in system or "exact" in system
    return {
        "color": ENCODER_COLORS["teacher"] if teacher else CODEC_COLORS[codec],
        "marker": MARKERS[codec],
        "linestyle": ":" if flat else "-",
        "linewidth": 1.4,
        "markersize": 7 if codec == "auto" else 4.5,
    }
