"""Commands that measure encoders and teachers: evaluate sts, evaluate retrieval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.options import bars, dim_option, echo_json, encoder_option
from hpdsearch.errors import EncoderError, ShapeError

if TYPE_CHECKING:
    from hpdsearch.common.vectors import Matrix
    from hpdsearch.evaluation import CollectionResult

    Encode = Callable[[list[str]], Matrix]

Command = Callable[..., Any]


@dataclass(frozen=True)
class System:
    """What is measured: an encoder, a teacher, or one that asks the documents of another.

    Attributes:
        name: shown in the tables.
        space: id of the space of its vectors; None for a teacher's own.
        dim: width of the vectors.
        encode: texts -> vectors (n, dim).
        encode_documents: the same for documents, if another system encodes them.
        is_teacher: the others are shown in per cent of it.
    """

    name: str
    space: str | None
    dim: int
    encode: "Encode"
    encode_documents: "Encode | None" = None
    is_teacher: bool = False


def evaluate_options(command: Command) -> Command:
    """Add the options that both commands have."""
    options = [
        encoder_option,
        click.option(
            "--teacher", help="Measure this teacher too (name or folder), and show what per cent of it is kept."
        ),
        click.option(
            "--space", type=click.Path(path_type=Path), help="Also measure the teacher in this space (a folder)."
        ),
        click.option(
            "--cache",
            type=click.Path(path_type=Path),
            help="Keep the teacher's embeddings here for the next run.  [default: in your cache folder]",
        ),
        dim_option,
        click.option("--subset", default="test", show_default=True, help="Part of the data to measure on."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def evaluate() -> None:
    """Measure encoders and teachers on sentence similarity (sts) or on retrieval.

    \b
    hpdsearch evaluate sts sts/ --encoder my-encoder --teacher all-mpnet-base-v2
    hpdsearch evaluate retrieval beir/scifact --encoder my-encoder --dim 128
    """


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path))
@evaluate_options
def sts(folder: Path, subset: str, as_json: bool, **models: Any) -> None:
    """Sentence similarity: Spearman x 100 of cosine against people's scores.

    FOLDER is a file of score<TAB>sentence<TAB>sentence lines, a task folder with SUBSET.tsv (or files of SICK or
    SentEval's STS12-16), or a folder of task folders. All pairs of a task are ranked together.

    \b
    hpdsearch evaluate sts sts/
    hpdsearch evaluate sts sts/STSB --encoder my-encoder --dim 128
    """
    from hpdsearch.evaluation import evaluate_sts, read_sts

    tasks = read_sts(folder, subset)
    systems = _systems(**models)
    results = [evaluate_sts(tasks, system.encode, progress=bars()) for system in systems]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    table = {
        task.name: (len(task.pairs), [result.tasks[number].spearman for result in results])
        for number, task in enumerate(tasks)
    }
    _echo_table("Spearman x 100", "pairs", systems, table, [result.average for result in results])
    for task in tasks:
        if task.n_unscored:
            click.echo(f"{task.name}: {task.n_unscored:,} pairs without a score left out")


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path))
@evaluate_options
@click.option(
    "--queries-encoder", help="Also ask the documents with this encoder of the same space (asymmetric search)."
)
def retrieval(folder: Path, subset: str, as_json: bool, **models: Any) -> None:
    """Retrieval by exact search: nDCG@10, recall@100, MRR@10, all x 100.

    FOLDER is a BEIR folder (corpus.jsonl, queries.jsonl, both also as .gz, and qrels/SUBSET.tsv), or a folder of them.
    Means are over the queries that have a relevant document, and then over the collections.

    \b
    hpdsearch evaluate retrieval beir/scifact
    hpdsearch evaluate retrieval beir/ --teacher all-mpnet-base-v2 --space my-space --queries-encoder my-encoder
    """
    from hpdsearch.evaluation import evaluate_retrieval, read_collections

    collections = read_collections(folder, subset)
    systems = _systems(**models)
    results = [
        evaluate_retrieval(collections, system.encode, system.encode_documents, progress=bars()) for system in systems
    ]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    for metric in results[0].means:
        table = {
            found.name: (found.n_queries, [result.collections[number].means[metric] for result in results])
            for number, found in enumerate(results[0].collections)
        }
        _echo_table(f"{metric} x 100", "queries", systems, table, [result.means[metric] for result in results])
        click.echo()
    for found in results[0].collections:
        _echo_left_out(found)


def _systems(
    encoder: str | None,
    teacher: str | None,
    space: Path | None,
    cache: Path | None,
    dim: int | None,
    queries_encoder: str | None = None,
) -> list[System]:
    """Return what is to be measured: encoder, teacher, teacher in the space, queries' encoder on documents of both."""
    from hpdsearch.encoder import DEFAULT_ENCODER

    if space and not teacher:
        raise click.UsageError("--space is for a teacher's vectors: name one with --teacher.")
    systems = [_encoder(encoder or DEFAULT_ENCODER, dim)] if encoder or not teacher else []
    systems += _teacher(teacher, space, cache, dim) if teacher else []
    if queries_encoder:
        asked = [system for system in systems if system.space]
        if not asked:
            raise click.UsageError("--queries-encoder needs documents of its space: give --encoder or --space.")
        systems += [_asking(queries_encoder, documents) for documents in asked]
    return systems


def _encoder(name: str, dim: int | None) -> System:
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=dim)
    return System(encoder.name, encoder.space, encoder.dim, encoder.encode)


def _teacher(name: str, space: Path | None, cache: Path | None, dim: int | None) -> list[System]:
    """Return the teacher as it is, whatever `dim`, and the teacher in the space."""
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
                f"{space}: expected a space for the {teacher.dim} numbers of {teacher.name}, "
                f"got one for the {found.teacher_dim} of {found.teacher}"
            )
        if dim is not None and dim > found.dim:
            raise ShapeError(f"--dim: expected 1..{found.dim}, the width of {space}, got {dim}")
        width = dim or found.dim

        def projected(texts: list[str]) -> "Matrix":  # evaluation scales the vectors to length 1 again
            return found.project(encode(texts))[:, :width]

        systems.append(System(f"{teacher.name} projected", found.id, width, projected))
    return systems


def _asking(name: str, documents: System) -> System:
    """Return the encoder `name` for queries with the documents' vectors of another system."""
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=documents.dim)
    if encoder.space != documents.space:
        raise EncoderError(
            f"--queries-encoder: expected an encoder of the space of {documents.name}, {documents.space}, "
            f"but {encoder.name} is of {encoder.space}; take one that `hpdsearch encoders` lists with that space, or "
            "make one with hpdsearch distill --space"
        )
    return System(f"{encoder.name} asks {documents.name}", encoder.space, encoder.dim, encoder.encode, documents.encode)


def _echo_results(systems: Sequence[System], results: Sequence[dict[str, Any]]) -> None:
    heads = ({"name": system.name, "dim": system.dim, "space": system.space} for system in systems)
    echo_json({"systems": [head | result for head, result in zip(heads, results, strict=True)]})


def _echo_table(
    title: str,
    counted: str,
    systems: Sequence[System],
    table: Mapping[str, tuple[int, list[float]]],
    means: list[float],
) -> None:
    """Print a row a task or collection and a column a system, then the means, then the per cent of the teacher.

    Args:
        title: name of the metric.
        counted: what the number of a row counts.
        systems: of the columns.
        table: row's name -> (its number, a value a system).
        means: a value a system.
    """
    rows = [[title, counted, *(system.name for system in systems)]]
    rows += [[name, f"{n:,}", *(f"{value:.2f}" for value in values)] for name, (n, values) in table.items()]
    rows.append(["mean", "", *(f"{mean:.2f}" for mean in means)])
    for mean, system in zip(means, systems, strict=True):
        if system.is_teacher and mean:
            rows.append([f"% of {system.name}", "", *(f"{100 * other / mean:.1f}" for other in means)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        click.echo("  ".join([name.ljust(widths[0]), *aligned]))


def _echo_left_out(found: "CollectionResult") -> None:
    counts = {
        "judged queries without a relevant document, left out": found.n_without_relevant,
        "judged queries that the queries file does not have, left out": found.n_unknown_queries,
        "relevant judgements of documents that the corpus does not have, counted as missed": found.n_unknown_documents,
    }
    for what, count in counts.items():
        if count:
            click.echo(f"{found.name}: {count:,} {what}")
