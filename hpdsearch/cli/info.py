"""The command `info`: the contents and size of an index, and its measured operating points."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.index_argument import find_index, index_parameters
from hpdsearch.cli.output import Styled, echo, echo_json, echo_table, format_bytes, format_count
from hpdsearch.cli.output_file import exit_on_signals, overwrite_option
from hpdsearch.cli.parameters import OutputPath

if TYPE_CHECKING:
    from hpdsearch.index.info import IndexInfo


@click.command()
@index_parameters
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--plot",
    type=OutputPath(),
    metavar="FILE",
    help="Plot recall against latency to a .svg, .png or .pdf file.",
)
@overwrite_option
def info(
    index_argument: str | None, index_option: str | None, as_json: bool, plot: Path | None, overwrite: bool
) -> None:
    """Describe an index: contents, sizes, recall and latency.

    \b
    Examples:
      hpdsearch info indexes/news --json
      hpdsearch info indexes/news --plot recall.svg
    """
    from hpdsearch.index import Index

    with Index.open(find_index(index_option, index_argument)) as opened:
        described = opened.info()
    if plot is not None:
        from hpdsearch.index.plot import plot_operating_points

        with exit_on_signals():
            plot_operating_points(described, plot, overwrite=overwrite)
    if as_json:
        echo_json(described.as_dict())
        return
    passages = format_count(described.n_passages, "passage")
    echo(f"{described.folder}: {format_count(described.n_documents, 'document')}, {passages}")
    if described.n_shards > 1:
        echo(f"shards:     {described.n_shards}")
    if described.n_deleted:
        echo(
            f"deleted:    {format_count(described.n_deleted, 'passage')} still on disk; hpdsearch compact removes them"
        )
    if described.n_draft:
        share = 100 * (1 - described.n_draft / described.n_passages)
        echo(f"refined:    {share:.0f} % of the passages; go on with: hpdsearch refine {described.folder}")
    backend = f", backend {described.backend}" if described.backend else ""
    echo(f"encoder:    {described.encoder}, {described.dim} dimensions, space {described.space}{backend}")
    echo(f"languages:  {', '.join(described.languages)}")
    echo(f"fields:     {', '.join(described.fields) or 'none'}")
    print_segments(described)
    for segment in described.segments:
        _print_operating_points(segment)
    echo(f"state:      generation {described.generation}, format {described.format}")


def print_segments(info: "IndexInfo") -> None:
    """Print the segments, those that miss their recall target, and the bytes on disk and in memory."""
    for segment in info.segments:
        dim = f" of {segment['dim']} dimensions" if segment["dim"] else ""
        lists = f", {segment['nprobe']} of {segment['nlist']} lists probed" if segment["nlist"] else ""
        rescored = f", {segment['rescore']} candidates rescored per hit"
        echo(f"segment:    {segment['rows']:,} vectors, {segment['kind']} {segment['codec']}{dim}{lists}{rescored}")
        measured = segment["operating_points"]
        if measured and not measured["is_met"]:
            best = max(point["ann_recall"] for point in measured["points"])
            target = f"target {measured['recall_target']:g} is NOT met by this segment"
            echo(Styled(f"recall:     {target}; the best measured is {best:.3f}", "red"))
    parts = ", ".join(f"{part} {format_bytes(size)}" for part, size in info.disk_bytes.items())
    echo(f"on disk:    {format_bytes(sum(info.disk_bytes.values()))} ({parts})")
    ratio = info.teacher_memory_bytes / max(info.memory_bytes, 1)
    teacher = (
        f"float32 vectors of 768 dimensions take {format_bytes(info.teacher_memory_bytes)}, {ratio:.1f} times as much"
    )
    echo(f"in memory:  {format_bytes(info.memory_bytes)} ({teacher})")


def _print_operating_points(segment: dict[str, Any]) -> None:
    measured = segment["operating_points"]
    if not measured:
        return
    state = "met" if measured["is_met"] else "NOT met"
    echo(
        f"recall:     {segment['rows']:,} vectors, target {measured['recall_target']:g} {state} "
        f"on {measured['n_queries']:,} held-out vectors"
    )
    active = (segment["nprobe"], segment["rescore"])
    rows = [
        (
            "*" if (point["nprobe"], point["rescore"]) == active else "",
            str(point["nprobe"] or "-"),
            str(point["rescore"]),
            f"{point['ann_recall']:.4f}",
            f"{point['ann_recall_lower']:.4f}",
            f"{point['milliseconds']:.3f}",
        )
        for point in measured["points"]
    ]
    headers = ["active", "nprobe", "rescore", "ann_recall@10", "95% bound", "ms per query"]
    echo_table(rows, headers, indent=4)
