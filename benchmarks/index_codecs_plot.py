"""The picture of index_codecs.json: how many of the nearest ten are among the first candidates, by width and kind."""

from pathlib import Path
from typing import Any

from scale_plot import saved

# Okabe and Ito's colours, told apart with every kind of colour vision; markers and dashes tell them apart in grey.
COLOURS = {"sq8": "#000000", "rabitq": "#D55E00", "pq": "#0072B2"}
PQ_COLOURS = ("#56B4E9", "#009E73", "#0072B2", "#CC79A7")
MARKERS = ("^", "s", "o", "D")
ASKED = "corpus vectors"


def plot_codecs(made: dict[str, Any], svg: Path) -> None:
    """Draw the curves of a result of index_codecs.py."""
    curves = [curve for curve in made["curves"] if curve["asked"] == ASKED]
    dims = sorted({curve["dim"] for curve in curves})
    with saved(svg, width=11, height=4.5 * len(dims)) as figure:
        panels = figure.subplots(len(dims), 2, squeeze=False)
        for row, dim in zip(panels, dims, strict=True):
            for axes, kind in zip(row, ("flat", "ivf"), strict=True):
                chosen = [curve for curve in curves if (curve["dim"], curve["kind"]) == (dim, kind)]
                _draw(axes, chosen)
                axes.set_title(f"{dim} numbers, {kind}", loc="left", fontweight="bold")
        n = made["settings"]["vectors"][0]
        figure.suptitle(f"Exact ten nearest among the candidates that the codes name\n{n}; {ASKED} asked", fontsize=11)


def _draw(axes: Any, curves: list[dict[str, Any]]) -> None:
    sizes = sorted({curve["size"] for curve in curves if curve["codec"] == "pq"})
    ivf = curves[0]["kind"] == "ivf"
    for curve in sorted(curves, key=lambda curve: (curve["codec"], curve["size"], not curve["rotated"])):
        codec, size = curve["codec"], curve["size"]
        if ivf and codec == "pq" and not curve["residual"]:
            continue  # within a line's width of the residual one
        place = sizes.index(size) if codec == "pq" else size
        label = f"{codec} {curve['code_bytes']} B, {curve['milliseconds']:.2g} ms"
        label += "" if curve["rotated"] or codec == "sq8" else ", not rotated"
        axes.plot(
            curve["candidates"],
            curve["recall"],
            label=label,
            color=PQ_COLOURS[place % 4] if codec == "pq" else COLOURS[codec],
            marker=MARKERS[place % 4] if codec == "pq" else {1: "v", 2: "P"}.get(size, "x"),
            linestyle="-" if curve["rotated"] or codec == "sq8" else ":",
            linewidth=1.4,
            markersize=4.5,
        )
    axes.set_xscale("log")
    axes.set_xticks(curves[0]["candidates"], [str(n) for n in curves[0]["candidates"]])
    axes.minorticks_off()
    axes.set_ylim(top=1.01)
    axes.set_xlabel("candidates")
    axes.set_ylabel("share of the exact ten (ann_recall@10)")
    axes.legend(fontsize=7.5, loc="lower right")
