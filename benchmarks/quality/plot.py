"""Draw quality as percent of the teacher against dimensions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.quality_names import NDCG, STS
from benchmarks.common.results import Result
from benchmarks.common.style import color
from hpdsearch.common.plotting import save_figure

LABELS = {STS: "sentence similarity: Spearman, % of the teacher", NDCG: "retrieval: nDCG@10, % of the teacher"}
LEFT_OUT = ("float32", "asks", "hybrid")  # stored names: variants of a drawn system, or not only vectors


def plot_quality(made: Result, path: Path) -> None:
    """Draw one line per system over its dimensions; draw nothing without a teacher."""
    rows = [
        row for row in made["systems"] if row.get("of_teacher") and not any(part in row["system"] for part in LEFT_OUT)
    ]
    if not rows:
        return
    with save_figure(path, width=12, height=5.2) as figure:
        for axes, (metric, label) in zip(figure.subplots(1, 2), LABELS.items(), strict=True):
            _lines(axes, rows, metric)
            axes.set_xscale("log", base=2)
            dims = sorted({row["dim"] for row in rows if row["dim"]})
            axes.set_xticks(dims, [str(dim) for dim in dims])
            axes.xaxis.minorticks_off()
            axes.set_xlabel("dimensions (4 bytes each as float32)")
            axes.set_ylabel(label)
        figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)


def _lines(axes: Any, rows: Sequence[Result], metric: str) -> None:
    """Draw one metric; a system without vectors is a horizontal line."""
    for name in dict.fromkeys(row["system"] for row in rows):
        points = [
            (row["dim"], row["of_teacher"][metric])
            for row in rows
            if row["system"] == name and metric in row["of_teacher"]
        ]
        if not points:
            continue
        look = {"color": color(name), "label": name, "linewidth": 1.6}
        if points[0][0] is None:
            axes.axhline(points[0][1], linestyle=":", **look)
        else:
            dashed = "--" if "projected" in name else "-"
            axes.plot(*zip(*sorted(points), strict=True), linestyle=dashed, marker="o", markersize=5, **look)
