"""Pictures of scale.json: latency and building over the number of vectors, memory, and recall against latency."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS: dict[Any, Any] = {  # matplotlib names its keys one by one
    "svg.hashsalt": "hpdsearch",  # else the ids in the file are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
}
# Okabe and Ito's colours, told apart with every kind of colour vision; markers and dashes tell them apart in grey.
CODEC_COLOURS = {"sq8": "#E69F00", "pq": "#0072B2", "rabitq": "#D55E00", "f32": "#000000", "auto": "#009E73"}
MARKERS = {"sq8": "s", "pq": "o", "rabitq": "^", "f32": "x", "auto": "*"}


@contextmanager
def saved(svg: Path, *, width: float, height: float) -> Iterator[Any]:
    """Give a figure of so many inches, and write it at the end; equal contents give equal bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        svg.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(svg, format="svg", metadata={"Date": None})


def plot_scale(made: dict[str, Any], folder: Path) -> None:
    """Draw scale-growth.svg, scale-memory.svg and scale-recall.svg from a result of scale.py."""
    rows = [one for one in made["measurements"] if "what" in one]
    with saved(folder / "scale-growth.svg", width=11, height=4.8) as figure:
        left, right = figure.subplots(1, 2)
        exponents = {(one["system"], one["fit"]): one["median"] for one in made["measurements"] if "fit" in one}
        _over_n(left, rows, "query p50", exponents, "one query, median (ms)", "exponents of n in brackets")
        _over_n(right, rows, "build", exponents, "build (s)", "")
    with saved(folder / "scale-memory.svg", width=7, height=4.8) as figure:
        axes = figure.subplots()
        _over_n(axes, rows, "resident memory", {}, "resident memory, opened and 1,000 queries (MB)", "")
        _over_n(axes, rows, "memory of its vectors", {}, None, "")
    with saved(folder / "scale-recall.svg", width=11, height=4.2) as figure:
        sizes = sorted({curve["n"] for curve in made["curves"]})
        for axes, n in zip(figure.subplots(1, max(len(sizes), 1), sharey=True, squeeze=False)[0], sizes, strict=False):
            _recall(axes, [curve for curve in made["curves"] if curve["n"] == n])
            axes.set_title(f"{n:,} vectors", loc="left")


def _over_n(
    axes: Any,
    rows: Sequence[dict[str, Any]],
    what: str,
    exponents: dict[tuple[str, str], float],
    label: str | None,
    title: str,
) -> None:
    for system in dict.fromkeys(one["system"] for one in rows if one["what"] == what):
        points = [(one["n"], one["median"]) for one in rows if (one["system"], one["what"]) == (system, what)]
        name = f"{system} [{exponents[system, what]:.2f}]" if (system, what) in exponents else system
        axes.plot(*zip(*points, strict=True), label=name, **style(system))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("vectors")
    if label:
        axes.set_ylabel(label)
    if title:
        axes.set_title(title, loc="left", fontsize=9)
    axes.legend(fontsize=7.5)


def _recall(axes: Any, curves: Sequence[dict[str, Any]]) -> None:
    for curve in curves:
        points = [(point["milliseconds"], point["ann_recall"]) for point in curve["points"]]
        axes.plot(*zip(*points, strict=True), label=curve["system"], **style(curve["system"]))
    axes.axhline(curves[0]["promise"], color="#888888", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("one query, median (ms)")
    axes.set_ylabel("ann_recall@10")
    axes.set_ylim(0.5, 1.01)
    axes.legend(fontsize=7)


def style(system: str) -> dict[str, Any]:
    """Return how a system is drawn: a colour and marker a codec, dotted for flat, dashed for the teacher's width."""
    codec = system.split()[-1]
    teacher, flat = system.startswith("teacher"), "flat" in system or "exact" in system
    return {
        "color": "#CC79A7" if teacher else CODEC_COLOURS[codec],
        "marker": MARKERS[codec],
        "linestyle": ":" if flat else "-",
        "linewidth": 1.4,
        "markersize": 5,
    }
