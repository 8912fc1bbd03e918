"""Commands that measure encoders and teachers: evaluate sts, evaluate retrieval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.options import dim_option, encoder_option
from hpdsearch.cli.output import echo_json, echo_table, make_progress
from hpdsearch.cli.parameters import Command, RenamedOption, apply_options
from hpdsearch.errors import EncoderError, ShapeError

if TYPE_CHECKING:
    from hpdsearch.common.vectors import Matrix
    from hpdsearch.evaluation import CollectionResult

    Encode = Callable[[list[str]], Matrix]


@dataclass(frozen=True)
class System:
    """A system to measure: an encoder, a teacher, or a query encoder with the documents of another system.

    Attributes:
        name: heading of its column.
        space: id of the space of its vectors; None for a teacher's own.
        dim: dimensions of the vectors.
        encode: texts -> vectors (n, dim).
        encode_documents: texts -> vectors (n, dim) of documents; None: `encode`.
        is_teacher: the other systems are shown in percent of this one.
    """

    name: str
    space: str | None
    dim: int
    encode: "Encode"
    encode_documents: "Encode | None" = None
    is_teacher: bool = False


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
    systems = _load_systems(**models)
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
    systems = _load_systems(**models)
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


def _load_systems(
    encoder: str | None,
    teacher: str | None,
    space: Path | None,
    cache: Path | None,
    dim: int | None,
    query_encoder: str | None = None,
) -> list[System]:
    """Load the systems to measure: encoder, teacher, projected teacher, and the query encoder with their documents."""
    from hpdsearch.encoder import DEFAULT_ENCODER

    if space and not teacher:
        raise click.UsageError("--space projects the vectors of a teacher: name one with --teacher")
    systems = [_load_encoder(encoder or DEFAULT_ENCODER, dim)] if encoder or not teacher else []
    systems += _load_teacher(teacher, space, cache, dim) if teacher else []
    if query_encoder:
        searched = [system for system in systems if system.space]
        if not searched:
            raise click.UsageError("--query-encoder needs documents of its space: give --encoder or --space")
        systems += [_load_query_encoder(query_encoder, documents) for documents in searched]
    return systems


def _load_encoder(name: str, dim: int | None) -> System:
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=dim)
    return System(encoder.name, encoder.space, encoder.dim, encoder.encode)


def _load_teacher(name: str, space: Path | None, cache: Path | None, dim: int | None) -> list[System]:
    """Load the teacher with all its dimensions, and with `space` the teacher projected and truncated to `dim`."""
    from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
    from hpdsearch.encoder import read_space

    teacher = Teacher.load(name)
    cached = open_cache(teacher, cache)

    def encode(texts: list[str]) -> "Matrix":
        embed(teacher, texts, cached)
        return cached.embeddings(texts)

    systems = [System(teacher.name, None, teacher.dim, encode, is_teacher=True)]
    if space:
        found = read_space(space)
        if found.teacher_dim != teacher.dim:
            raise EncoderError(
                f"{space}: expected a space for the {teacher.dim} dimensions of {teacher.name}, "
                f"got one for the {found.teacher_dim} dimensions of {found.teacher}"
            )
        if dim is not None and dim > found.dim:
            raise ShapeError(f"--dim: expected 1..{found.dim}, the dimensions of {space}, got {dim}")
        width = dim or found.dim

        def encode_projected(texts: list[str]) -> "Matrix":  # evaluation scales the vectors to unit length
            return found.project(encode(texts))[:, :width]

        systems.append(System(f"{teacher.name} projected", found.id, width, encode_projected))
    return systems


def _load_query_encoder(name: str, documents: System) -> System:
    """Load an encoder for queries, to search the documents of another system."""
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=documents.dim)
    if encoder.space != documents.space:
        raise EncoderError(
            f"--query-encoder: expected an encoder of the space of {documents.name}, {documents.space}, "
            f"but {encoder.name} is of {encoder.space}; take one that `hpdsearch encoders` lists with that space, or "
            "make one with hpdsearch distill --space"
        )
    return System(
        f"queries {encoder.name}, documents {documents.name}",
        encoder.space,
        encoder.dim,
        encoder.encode,
        documents.encode,
    )


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
