"""Draw ann_recall among the first candidates by codec, width and index type."""

from pathlib import Path
from typing import Any

from hpdsearch.common.plotting import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, save_figure

# Markers and dashes tell the codecs apart in gray.
COLORS = {"sq8": BLACK, "rabitq": VERMILION}
PQ_STYLES = ((SKY, "^"), (GREEN, "s"), (ORANGE, "D"), (BLUE, "o"), (PURPLE, "P"))
QUERIES = "corpus vectors"


def plot_codecs(made: dict[str, Any], svg: Path) -> None:
    """Draw the curves of a result of benchmarks.scale.codecs."""
    curves = [curve for curve in made["curves"] if curve["asked"] == QUERIES]
    dims = sorted({curve["dim"] for curve in curves})
    with save_figure(svg, width=14, height=4.2 * len(dims)) as figure:
        panels = figure.subplots(len(dims), 2, squeeze=False)
        for row, dim in zip(panels, dims, strict=True):
            sizes = sorted({curve["size"] for curve in curves if (curve["dim"], curve["codec"]) == (dim, "pq")})
            for axes, kind in zip(row, ("flat", "ivf"), strict=True):
                chosen = [curve for curve in curves if (curve["dim"], curve["kind"]) == (dim, kind)]
                _draw(axes, chosen, sizes)
                axes.set_title(f"{dim} dimensions, {kind}", loc="left", fontweight="bold")
        n = made["settings"]["vectors"][0]
        figure.suptitle(f"Share of the exact ten nearest among the candidates\n{n}; queries: {QUERIES}", fontsize=11)


def _draw(axes: Any, curves: list[dict[str, Any]], sizes: list[int]) -> None:
    """Draw one panel; `sizes` are the pq sizes of this width, so that a size has the same style in both panels."""
    for curve in sorted(curves, key=lambda curve: (curve["codec"], curve["size"], not curve["rotated"])):
        codec, size = curve["codec"], curve["size"]
        label = f"{codec} {curve['code_bytes']} B, {curve['milliseconds']:.2g} ms"
        line = "-"
        if codec != "sq8" and not curve["rotated"]:
            label, line = f"{label}, not rotated", ":"
        elif codec == "pq" and curve["kind"] == "ivf" and not curve["residual"]:
            label, line = f"{label}, not residual", "--"
        others = (COLORS.get(codec), {1: "v", 2: "*"}.get(size, "x"))
        color, marker = PQ_STYLES[sizes.index(size) % len(PQ_STYLES)] if codec == "pq" else others
        axes.plot(
            curve["candidates"],
            curve["recall"],
            label=label,
            color=color,
            marker=marker,
            linestyle=line,
            linewidth=1.3,
            markersize=4.5,
        )
    axes.set_xscale("log")
    axes.set_xticks(curves[0]["candidates"], [str(n) for n in curves[0]["candidates"]])
    axes.minorticks_off()
    axes.set_ylim(top=1.01)
    axes.set_xlabel("candidates")
    axes.set_ylabel("share of the exact ten")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
