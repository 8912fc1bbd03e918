"""The command `plan`: a capacity sheet for a corpus of a size, from measured figures."""

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.options import dim_option, encoder_option
from hpdsearch.cli.output import echo, echo_json, echo_table, format_bytes
from hpdsearch.cli.parameters import EnumChoice, RenamedOption, UserPath, read_size

if TYPE_CHECKING:
    from hpdsearch.cluster.plan import Line, Plan, PlanSpec

DEFAULT_ENCODER = "base"


def read_count(text: str) -> int:
    """Return a count that may be written as 1e9 or 1_000_000."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or value != int(value) or value < 1:
        raise click.BadParameter(f"expected a whole number from 1, such as 1e9, got {text!r}")
    return int(value)


@click.command()
@click.option("--documents", type=read_count, metavar="N", required=True, help="Plan for this many documents.")
@click.option("--words", type=float, metavar="N", required=True, help="Take this as the mean words of a document.")
@encoder_option
@dim_option
@click.option(
    "--index-type",
    "kind",
    cls=RenamedOption,
    former=("--kind",),
    type=EnumChoice("hpdsearch.dense", "IndexType"),
    default="auto",
    help="Scan all vectors (flat), or probe inverted lists (ivf). auto is flat while a scan takes less than 5 ms.",
)
@click.option(
    "--codec",
    type=EnumChoice("hpdsearch.dense", "Codec"),
    default="auto",
    help="Encode the vectors in memory with this codec. auto is pq.",
)
@click.option(
    "--ann-recall",
    cls=RenamedOption,
    former=("--recall",),
    type=float,
    metavar="RECALL",
    default=0.95,
    help="Find this share of the exact 10 nearest passages.",
)
@click.option("--qps", type=float, metavar="N", default=100, help="Answer this many queries a second.")
@click.option(
    "--mode", type=click.Choice(["hybrid", "dense"]), default="hybrid", help="Rank by vectors and BM25, or by vectors."
)
@click.option("--shards", type=read_count, metavar="N", show_default="computed", help="Make this many shards.")
@click.option(
    "--shard-passages",
    type=read_count,
    metavar="N",
    default="10e6",
    help="Put at most this many passages into a shard. Latencies were measured up to 10 million.",
)
@click.option("--memory", type=read_size, metavar="SIZE", default="32GB", help="Give a serving machine this memory.")
@click.option("--machine-cores", type=int, metavar="N", default=8, help="Give a serving machine this many cores.")
@click.option("--cores", type=int, metavar="N", default=8, help="Encode on this many cores.")
@click.option("--gpus", type=int, metavar="N", default=0, help="Encode on this many GPUs instead.")
@click.option(
    "--figures",
    type=UserPath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    show_default="those of the developers' machine",
    help="Compute from the figures of another machine, which python -m benchmarks.scale.plan measures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(figures: Path | None, as_json: bool, encoder: str | None, dim: int | None, **options: Any) -> None:
    """Estimate the bytes, machines, hours and latency of a corpus.

    Nothing is built. Each line says whether its number is computed from the request and the file formats, measured at
    this size, interpolated between measured sizes or extrapolated beyond them.

    \b
    Examples:
      hpdsearch plan --documents 1e9 --words 120 --codec rabitq --qps 200
      hpdsearch plan --documents 5e6 --words 300 --memory 16GB --json
    """
    from hpdsearch.cluster.figures import read_figures
    from hpdsearch.cluster.plan import make_plan

    sheet = make_plan(make_spec(encoder or DEFAULT_ENCODER, dim, **options), read_figures(figures))
    if as_json:
        echo_json(sheet.as_dict())
    else:
        print_plan(sheet)


def make_spec(encoder: str, dim: int | None, **options: Any) -> "PlanSpec":
    """Return the request that the options describe; the window and the dimensions are the encoder's."""
    from hpdsearch.cluster.plan import PlanSpec
    from hpdsearch.encoder.folder import find_folder, read_card
    from hpdsearch.errors import PlanError

    card = read_card(find_folder(encoder))
    if dim is not None and dim > card.dim:
        raise PlanError(f"dim: expected at most {card.dim} (the dimensions of {card.name}), got {dim}")
    return PlanSpec(
        n_documents=options["documents"],
        words=options["words"],
        encoder=card.name,
        window=card.max_tokens,
        dim=dim or card.dim,
        kind=options["kind"],
        codec=options["codec"],
        ann_recall=options["ann_recall"],
        queries_per_second=options["qps"],
        hybrid=options["mode"] == "hybrid",
        n_shards=options["shards"] or 0,
        shard_passages=options["shard_passages"],
        memory=options["memory"],
        machine_cores=options["machine_cores"],
        cores=options["cores"],
        gpus=options["gpus"],
    )


def print_plan(sheet: "Plan") -> None:
    """Print the sheet as a table, its sources and its notes."""
    spec = sheet.spec
    echo(
        f"{spec['n_documents']:,} documents of {spec['words']:g} words, encoder {spec['encoder']}, "
        f"{spec['dim']} dimensions, {spec['kind']} {spec['codec']}, recall target {spec['ann_recall']:g}"
    )
    echo_table([(line.label, format_value(line), line.basis) for line in sheet.lines], ["", "value", "basis"])
    echo(f"measured on: {sheet.machine}")
    for source in sheet.sources:
        echo(f"  {source['benchmark']}: {source['date']}, commit {source['commit']}, {source['machine']}")
    for note in sheet.notes:
        echo(f"note: {note}")


def format_value(line: "Line") -> str:
    """Return a number with its unit."""
    if line.unit == "bytes":
        return format_bytes(line.value)
    if line.unit in ("ms", "hours", "cores", "tokens"):
        digits = 0 if line.value >= 100 else 1 if line.value >= 10 else 2
        return f"{line.value:,.{digits}f} {line.unit}"
    return f"{line.value:,.0f}"
