"""The measured curves of an index as a picture: recall against latency."""

from pathlib import Path
from typing import Any

from hpdsearch.common.plotting import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, save_figure
from hpdsearch.errors import QueryError
from hpdsearch.index.info import IndexInfo

STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"))


def plot_curves(described: IndexInfo, path: Path) -> None:
    """Draw ann_recall@10 over milliseconds a query for each segment that has a curve.

    Raises:
        QueryError: no segment has one. MissingExtraError: matplotlib is not installed.
    """
    segments = [segment for segment in described.segments if segment["operating_points"]]
    if not segments:
        raise QueryError(f"{described.folder}: its segments are too small for a curve to be measured")
    with save_figure(path, width=8, height=5) as figure:
        axes = figure.subplots()
        for (colour, marker), segment in zip(STYLES * len(segments), segments, strict=False):
            _draw_segment(axes, segment, colour, marker)
        promise = segments[-1]["operating_points"]["recall_target"]
        axes.axhline(promise, color=VERMILION, linestyle="--", linewidth=1, label=f"promise {promise:g}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_xlabel("milliseconds a query (one thread, after encoding)")
        axes.set_ylabel("ann_recall@10 on held-out vectors")
        axes.set_title(f"{Path(described.folder).name}: {described.n_passages:,} passages", loc="left")
        axes.legend(loc="center right")


def _draw_segment(axes: Any, segment: dict[str, Any], colour: str, marker: str) -> None:
    points = segment["operating_points"]["points"]
    label = f"{segment['rows']:,} vectors, {segment['kind']} {segment['codec']}"
    milliseconds, recalls = [p["milliseconds"] for p in points], [p["ann_recall"] for p in points]
    axes.plot(milliseconds, recalls, color=colour, marker=marker, label=label)
    for point in points:
        if (point["nprobe"], point["rescore"]) == (segment["nprobe"], segment["rescore"]):
            note = f"in force: nprobe {point['nprobe']}, " if segment["nlist"] else "in force: "
            axes.plot(point["milliseconds"], point["ann_recall"], color=colour, marker="*", markersize=16)
            axes.annotate(
                f"{note}rescore {point['rescore']}",
                (point["milliseconds"], point["ann_recall"]),
                xytext=(8, -14),
                textcoords="offset points",
            )
