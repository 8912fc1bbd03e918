"""Draw the measured operating points of an index: ann_recall against latency."""

from pathlib import Path
from typing import Any

from hpdsearch.common.plotting import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, save_figure
from hpdsearch.errors import QueryError
from hpdsearch.index.info import IndexInfo

STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"))


def plot_operating_points(info: IndexInfo, path: Path, *, overwrite: bool = True) -> None:
    """Draw ann_recall@10 over milliseconds per query for each segment that has operating points.

    Args:
        info: the index.
        path: the picture; its ending says the format, .svg, .png or .pdf. It does not lie in the index folder.
        overwrite: replace a file that exists.

    Raises:
        QueryError: no segment has operating points.
        OutputError: the file cannot be written, or exists and `overwrite` is not set.
        MissingExtraError: matplotlib is not installed.
    """
    segments = [segment for segment in info.segments if segment["operating_points"]]
    if not segments:
        raise QueryError(
            f"{info.folder}: expected a segment with measured operating points, found none; small segments are scanned "
            "exactly and have none"
        )
    with save_figure(path, width=8, height=5, overwrite=overwrite, inputs=[Path(info.folder)]) as figure:
        axes = figure.subplots()
        for (color, marker), segment in zip(STYLES * len(segments), segments, strict=False):
            _draw_segment(axes, segment, color, marker)
        target = segments[-1]["operating_points"]["recall_target"]
        axes.axhline(target, color=VERMILION, linestyle="--", linewidth=1, label=f"recall target {target:g}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.set_xlabel("milliseconds per query (one thread, after encoding)")
        axes.set_ylabel("ann_recall@10 on held-out vectors")
        axes.set_title(f"{Path(info.folder).name}: {info.n_passages:,} passages", loc="left")
        axes.legend(loc="center right")


def _draw_segment(axes: Any, segment: dict[str, Any], color: str, marker: str) -> None:
    """Draw the operating points of a segment, and a star at the active one."""
    points = segment["operating_points"]["points"]
    label = f"{segment['rows']:,} vectors, {segment['kind']} {segment['codec']}"
    milliseconds = [point["milliseconds"] for point in points]
    recalls = [point["ann_recall"] for point in points]
    axes.plot(milliseconds, recalls, color=color, marker=marker, label=label)
    for point in points:
        if (point["nprobe"], point["rescore"]) == (segment["nprobe"], segment["rescore"]):
            nprobe = f"nprobe {point['nprobe']}, " if segment["nlist"] else ""
            axes.plot(point["milliseconds"], point["ann_recall"], color=color, marker="*", markersize=16)
            axes.annotate(
                f"active: {nprobe}rescore {point['rescore']}",
                (point["milliseconds"], point["ann_recall"]),
                xytext=(8, -14),
                textcoords="offset points",
            )
