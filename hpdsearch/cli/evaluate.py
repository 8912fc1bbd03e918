"""Commands that measure encoders and teachers: evaluate sts, evaluate retrieval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.options import dim_option, encoder_option
from hpdsearch.cli.output import echo_json, echo_table, make_progress
from hpdsearch.cli.parameters import Command, RenamedOption, apply_options
from hpdsearch.cli.systems import System, load_systems

if TYPE_CHECKING:
    from hpdsearch.evaluation import CollectionResult


def evaluate_options(command: Command) -> Command:
    """Add the options that both commands share."""
    return apply_options(
        command,
        encoder_option,
        click.option(
            "--teacher",
            metavar="MODEL",
            help="Measure this teacher too (name or folder), and show percentages of its scores.",
        ),
        click.option(
            "--space",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Measure the teacher's vectors projected into this space too.",
        ),
        click.option(
            "--cache",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            show_default="your cache folder",
            help="Keep the teacher's embeddings in this folder for the next run.",
        ),
        dim_option,
        click.option("--subset", metavar="NAME", default="test", help="Measure on this part of the data."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )


@click.group()
def evaluate() -> None:
    """Measure the quality of encoders and teachers.

    \b
    Examples:
      hpdsearch evaluate sts sts/ --encoder my-encoder --teacher all-mpnet-base-v2
      hpdsearch evaluate retrieval beir/scifact --encoder my-encoder --dim 128
    """


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path))
@evaluate_options
def sts(folder: Path, subset: str, as_json: bool, **models: Any) -> None:
    """Measure sentence similarity (STS): Spearman x 100.

    The measure compares cosines with human scores. FOLDER is a file with tab-separated lines of score, sentence
    and sentence; a task folder with SUBSET.tsv (or files of SICK or SentEval's STS12-16); or a folder of task folders.
    All pairs of a task are ranked together.

    \b
    Examples:
      hpdsearch evaluate sts sts/
      hpdsearch evaluate sts sts/STSB --encoder my-encoder --dim 128
    """
    from hpdsearch.evaluation import evaluate_sts, read_sts

    tasks = read_sts(folder, subset)
    systems = load_systems(**models)
    results = [evaluate_sts(tasks, system.encode, progress=make_progress()) for system in systems]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    table = {
        task.name: (len(task.pairs), [result.tasks[number].spearman for result in results])
        for number, task in enumerate(tasks)
    }
    _echo_scores("Spearman x 100", "pairs", systems, table, [result.average for result in results])
    for task in tasks:
        if task.n_unscored:
            click.echo(f"{task.name}: {task.n_unscored:,} pairs without a score are ignored")


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path))
@evaluate_options
@click.option(
    "--query-encoder",
    cls=RenamedOption,
    former=("--queries-encoder",),
    metavar="ENCODER",
    help="Measure this encoder of the same space too, for the queries alone (asymmetric search).",
)
def retrieval(folder: Path, subset: str, as_json: bool, **models: Any) -> None:
    """Measure retrieval by exact search: nDCG@10, recall@100, MRR@10.

    All values are x 100. FOLDER is a BEIR folder (corpus.jsonl and queries.jsonl, both also as .gz, and
    qrels/SUBSET.tsv) or a folder of BEIR folders. A mean is taken over the queries that have a relevant document, then
    over the collections.

    \b
    Examples:
      hpdsearch evaluate retrieval beir/scifact
      hpdsearch evaluate retrieval beir/ --teacher all-mpnet-base-v2 \\
          --space my-space --query-encoder my-encoder
    """
    from hpdsearch.evaluation import evaluate_retrieval, read_collections

    collections = read_collections(folder, subset)
    systems = load_systems(**models)
    results = [
        evaluate_retrieval(collections, system.encode, system.encode_documents, progress=make_progress())
        for system in systems
    ]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    for metric in results[0].means:
        table = {
            found.name: (found.n_queries, [result.collections[number].means[metric] for result in results])
            for number, found in enumerate(results[0].collections)
        }
        _echo_scores(f"{metric} x 100", "queries", systems, table, [result.means[metric] for result in results])
        click.echo()
    for found in results[0].collections:
        _echo_notes(found)


def _echo_results(systems: Sequence[System], results: Sequence[dict[str, Any]]) -> None:
    heads = ({"name": system.name, "dim": system.dim, "space": system.space} for system in systems)
    echo_json({"systems": [head | result for head, result in zip(heads, results, strict=True)]})


def _echo_scores(
    title: str,
    counted: str,
    systems: Sequence[System],
    table: Mapping[str, tuple[int, list[float]]],
    means: list[float],
) -> None:
    """Print a row per task or collection and a column per system, then the means and percentages of the teacher.

    Args:
        title: name of the metric.
        counted: heading of the counts, such as "queries".
        systems: of the columns.
        table: name of a row -> (its count, a value per system).
        means: a value per system.
    """
    rows = [[name, f"{n:,}", *(f"{value:.2f}" for value in values)] for name, (n, values) in table.items()]
    rows.append(["mean", "", *(f"{mean:.2f}" for mean in means)])
    for mean, system in zip(means, systems, strict=True):
        if system.is_teacher and mean:
            rows.append([f"% of {system.name}", "", *(f"{100 * other / mean:.1f}" for other in means)])
    echo_table(rows, [title, counted, *(system.name for system in systems)])


def _echo_notes(found: "CollectionResult") -> None:
    counts = {
        "judged queries without a relevant document are ignored": found.n_without_relevant,
        "judged queries that are not in the queries file are ignored": found.n_unknown_queries,
        "relevant documents that are not in the corpus count as missed": found.n_unknown_documents,
    }
    for note, count in counts.items():
        if count:
            click.echo(f"{found.name}: {count:,} {note}")
