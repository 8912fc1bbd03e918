"""Commands that measure encoders and teachers: evaluate sts, evaluate retrieval."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpdsearch.cli.options import device_option, dim_option, encoder_option
from hpdsearch.cli.output import echo, echo_json, echo_table, make_progress
from hpdsearch.cli.parameters import Command, RenamedOption, UserPath, apply_options, expand_home
from hpdsearch.cli.systems import System, load_systems
from hpdsearch.errors import CorpusError, HpdsearchError, ShapeError

if TYPE_CHECKING:
    from hpdsearch.common.progress import Progress
    from hpdsearch.common.vectors import Matrix
    from hpdsearch.evaluation import Collection, CollectionResult, DistractorFile, TaskResult

A = TypeVar("A")
B = TypeVar("B")


def evaluate_options(command: Command) -> Command:
    """Add the options that both commands share."""
    return apply_options(
        command,
        encoder_option,
        click.option(
            "--teacher",
            "teachers",
            type=expand_home,
            multiple=True,
            metavar="MODEL[:WEIGHT]",
            help="Measure this teacher too (name or folder), and show percentages of its scores. "
            "Several are one ensemble, as in distill.",
        ),
        click.option(
            "--space",
            type=UserPath(path_type=Path),
            metavar="FOLDER",
            help="Measure the teacher's vectors projected into this space too.",
        ),
        click.option(
            "--cache",
            type=UserPath(path_type=Path),
            metavar="FOLDER",
            show_default="your cache folder",
            help="Keep the teacher's embeddings in this folder for the next run.",
        ),
        dim_option,
        device_option,
        click.option("--subset", metavar="NAME", default="test", help="Measure on this part of the data."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )


def parse_distractors(value: str) -> "DistractorFile":
    """Parse FILE:N."""
    from hpdsearch.evaluation import DistractorFile

    path, _, n = value.rpartition(":")
    if not path or not n.isdecimal() or not int(n):
        raise click.BadParameter(f"expected FILE:N, a file and a number of its lines, got {value!r}")
    return DistractorFile(Path(expand_home(path)), int(n))


@click.group()
def evaluate() -> None:
    """Measure the quality of encoders and teachers.

    \b
    Examples:
      hpdsearch evaluate sts sts/ --encoder my-encoder --teacher all-mpnet-base-v2
      hpdsearch evaluate retrieval beir/scifact --encoder my-encoder --dim 128
    """


@evaluate.command()
@click.argument("folder", type=UserPath(path_type=Path))
@evaluate_options
def sts(folder: Path, subset: str, as_json: bool, **models: Any) -> None:
    """Measure sentence similarity (STS): Spearman x 100.

    The measure compares cosines with human scores. FOLDER is a file with tab-separated lines of score, sentence
    and sentence; a task folder with SUBSET.tsv (or files of SICK or SentEval's STS12-16); or a folder of task folders.
    All pairs of a task are ranked together. A folder that cannot be read does not stop the others; the exit code is 1.

    \b
    Examples:
      hpdsearch evaluate sts sts/
      hpdsearch evaluate sts sts/STSB --encoder my-encoder --dim 128
    """
    from hpdsearch.evaluation import evaluate_task, find_tasks, read_task

    failures = Failures(folder)
    tasks = failures.apply(lambda path: read_task(path, subset), find_tasks(folder, subset))
    systems = load_systems(**models) if tasks else []
    progress = make_progress()
    rows = failures.apply(
        lambda task: [evaluate_task(task, system.encode, progress=progress) for system in systems], tasks
    )
    if rows:
        _echo_sts(systems, rows, as_json)
    failures.raise_any()


@evaluate.command()
@click.argument("folder", type=UserPath(path_type=Path))
@evaluate_options
@click.option(
    "--query-encoder",
    cls=RenamedOption,
    former=("--queries-encoder",),
    type=expand_home,
    metavar="ENCODER",
    help="Measure this encoder of the same space too, for the queries alone (asymmetric search).",
)
@click.option(
    "--distractors",
    "distractor_files",
    type=parse_distractors,
    multiple=True,
    metavar="FILE:N",
    help="Search among N texts of FILE too (.txt or .txt.gz, one text per line). Repeat it for more files.",
)
def retrieval(
    folder: Path, subset: str, as_json: bool, distractor_files: "tuple[DistractorFile, ...]", **models: Any
) -> None:
    """Measure retrieval by exact search: nDCG@10, recall@100, MRR@10.

    All values are x 100. FOLDER is a BEIR folder (corpus.jsonl and queries.jsonl, both also as .gz, and
    qrels/SUBSET.tsv, with or without a header, or in the four columns of TREC) or a folder of BEIR folders. A mean is
    taken over the queries that have a relevant document, then over the collections. A folder that cannot be read does
    not stop the others; the exit code is 1.

    Small collections flatter: their documents differ a lot. --distractors adds texts that answer no query. They are
    drawn with a fixed seed, and texts that are documents of FOLDER are left out.

    \b
    Examples:
      hpdsearch evaluate retrieval beir/scifact
      hpdsearch evaluate retrieval beir/ --distractors news.txt.gz:100000
      hpdsearch evaluate retrieval beir/ --teacher all-mpnet-base-v2 \\
          --space my-space --query-encoder my-encoder
    """
    from hpdsearch.evaluation import evaluate_collection, find_collections, read_collection, read_distractors

    failures = Failures(folder)
    collections = failures.apply(lambda path: read_collection(path, subset), find_collections(folder))
    if distractor_files:
        collections = failures.apply(_check_corpus, collections)
    texts = read_distractors(distractor_files, collections) if collections else []
    systems = load_systems(**models) if collections else []
    progress = make_progress()
    distractors = _encode_distractors(systems, texts, progress)
    rows = failures.apply(
        lambda collection: [
            evaluate_collection(
                collection, system.encode_queries, system.encode, distractors=vectors, progress=progress
            )
            for system, vectors in zip(systems, distractors, strict=True)
        ],
        collections,
    )
    if rows:
        _echo_retrieval(systems, rows, as_json)
    failures.raise_any()


def _check_corpus(collection: "Collection") -> "Collection":
    """Read the corpus of a collection once, so that one that cannot be read does not stop the others."""
    collection.check_corpus()
    return collection


def _encode_distractors(systems: Sequence[System], texts: list[str], progress: "Progress") -> "Sequence[Matrix | None]":
    """Return the vectors (n, dim) of the distractors for each system; None without distractors.

    Systems that encode documents with the same function share them.
    """
    if not texts:
        return [None] * len(systems)
    import numpy as np

    from hpdsearch.evaluation.retrieval import BLOCK

    vectors: dict[Any, Matrix] = {}
    for system in systems:
        if system.encode in vectors:
            continue
        bar = progress.phase(f"distractors, {system.name}", total=len(texts), unit="text")
        blocks = []
        for first in range(0, len(texts), BLOCK):
            blocks.append(system.encode(texts[first : first + BLOCK]))
            bar.update(len(blocks[-1]))
        bar.close()
        vectors[system.encode] = np.concatenate(blocks)
    return [vectors[system.encode] for system in systems]


class Failures:
    """The errors of single folders, which do not stop the others.

    Args:
        folder: the folder that contains them, for the message.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors: list[HpdsearchError] = []

    def apply(self, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """Return the function's results; keep the error of an item that cannot be read or measured."""
        results = []
        for item in items:
            try:
                results.append(function(item))
            except (CorpusError, ShapeError) as error:
                self.errors.append(error)
        return results

    def raise_any(self) -> None:
        """Raise the errors as one.

        Raises:
            HpdsearchError: there are errors.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            lines = "".join(f"\n  {error}" for error in self.errors)
            raise CorpusError(f"{self.folder}: {len(self.errors)} of its folders could not be evaluated{lines}")


def _echo_sts(systems: Sequence[System], rows: "Sequence[Sequence[TaskResult]]", as_json: bool) -> None:
    """Print the results of all systems, a row per task."""
    from hpdsearch.evaluation import StsResult

    results = [StsResult(column) for column in zip(*rows, strict=True)]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    table = {row[0].name: (row[0].n_pairs, [found.spearman for found in row]) for row in rows}
    _echo_scores("Spearman x 100", "pairs", systems, table, [result.average for result in results])
    for task, *_ in rows:
        if task.n_unscored:
            echo(f"{task.name}: {task.n_unscored:,} pairs without a score are ignored")


def _echo_retrieval(systems: Sequence[System], rows: "Sequence[Sequence[CollectionResult]]", as_json: bool) -> None:
    """Print the results of all systems, a row per collection."""
    from hpdsearch.evaluation import RetrievalResult

    results = [RetrievalResult(column) for column in zip(*rows, strict=True)]
    if as_json:
        _echo_results(systems, [result.as_dict() for result in results])
        return
    for metric in results[0].means:
        table = {row[0].name: (row[0].n_queries, [found.means[metric] for found in row]) for row in rows}
        _echo_scores(f"{metric} x 100", "queries", systems, table, [result.means[metric] for result in results])
        echo()
    if n_distractors := rows[0][0].n_distractors:
        echo(f"each collection is searched among {n_distractors:,} distractors")
    for found, *_ in rows:
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
            echo(f"{found.name}: {count:,} {note}")
