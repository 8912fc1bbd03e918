"""The command `info`: what an index is, what it takes, and the curve of recall against latency that was measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.options import bytes_text, echo_json, find_index

if TYPE_CHECKING:
    from hpdsearch.index.info import IndexInfo


@click.command()
@click.argument("folder", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves: .svg, .png or .pdf.")
def info(folder: str | None, as_json: bool, plot: Path | None) -> None:
    """Describe an index: documents, encoder, segments, bytes, and the measured curve of recall against latency.

    \b
    hpdsearch info indexes/news --json
    hpdsearch info indexes/news --plot curve.svg
    """
    from hpdsearch.index import Index

    with Index.open(find_index(folder)) as opened:
        described = opened.info()
    if plot is not None:
        from hpdsearch.index.plot import plot_curves

        plot_curves(described, plot)
    if as_json:
        echo_json(described.as_dict())
        return
    click.echo(f"{described.folder}: {described.n_documents:,} documents, {described.n_passages:,} passages")
    if described.n_deleted:
        click.echo(
            f"deleted:    {described.n_deleted:,} passages whose vectors still lie in the files; hpdsearch compact"
        )
    click.echo(f"encoder:    {described.encoder}, {described.dim} numbers a vector, space {described.space}")
    click.echo(f"fields:     {', '.join(described.fields) or 'none'}")
    print_index(described)
    for segment in described.segments:
        _print_curve(segment)
    click.echo(f"state:      generation {described.generation}, format {described.format}")


def print_index(described: "IndexInfo") -> None:
    """Print the segments, whether the recall promise is kept, and the bytes."""
    for segment in described.segments:
        lists = f", {segment['nprobe']} of {segment['nlist']} lists visited" if segment["nlist"] else ""
        dim = f" of {segment['dim']} numbers" if segment.get("dim") else ""
        scored = f", {segment['rescore']} candidates a hit scored exactly"
        click.echo(f"segment:    {segment['rows']:,} vectors, {segment['kind']} {segment['codec']}{dim}{lists}{scored}")
        curve = segment["curve"]
        if curve and not curve["kept"]:
            best = max(point["ann_recall"] for point in curve["points"])
            click.secho(
                f"promise:    recall {curve['promise']:g} is NOT kept by this segment; the best reached is {best:.3f}",
                fg="red",
            )
    parts = ", ".join(f"{part} {bytes_text(size)}" for part, size in described.disk_bytes.items())
    click.echo(f"on disk:    {bytes_text(sum(described.disk_bytes.values()))} ({parts})")
    ratio = described.teacher_memory_bytes / max(described.memory_bytes, 1)
    teacher = (
        f"768-wide float32 vectors would take {bytes_text(described.teacher_memory_bytes)}, {ratio:.1f} times as much"
    )
    click.echo(f"in memory:  {bytes_text(described.memory_bytes)} ({teacher})")


def _print_curve(segment: dict[str, Any]) -> None:
    curve = segment["curve"]
    if not curve:
        return
    click.echo(
        f"curve:      {segment['rows']:,} vectors; of the exact ten nearest of {curve['n_queries']} held-out vectors "
        f"(promise: {curve['promise']:g}; * in force)"
    )
    click.echo("              nprobe  rescore  ann_recall@10  at least  ms a query")
    for point in curve["points"]:
        in_force = (point["nprobe"], point["rescore"]) == (segment["nprobe"], segment["rescore"])
        click.echo(
            f"            {'*' if in_force else ' '} {point['nprobe'] or '-':>6}  {point['rescore']:>7}  "
            f"{point['ann_recall']:>13.4f}  {point['lowest']:>8.4f}  {point['milliseconds']:>10.3f}"
        )
