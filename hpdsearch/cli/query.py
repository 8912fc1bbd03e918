"""The command `query`: one query, a file of queries, or an interactive session."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from hpdsearch.cli.display import describe_answer, show_hits
from hpdsearch.cli.index_argument import find_index, index_option
from hpdsearch.cli.output import echo, echo_json
from hpdsearch.cli.parameters import EnumChoice, RenamedOption, UserFile, UserPath, expand_home
from hpdsearch.errors import QueryError

if TYPE_CHECKING:
    from hpdsearch.records import Hit
    from hpdsearch.search import Mode

BATCH_SIZE = 256
Query = tuple[str, str]  # id and text


@click.command()
@click.argument("text", required=False)
@index_option("the only index under indexes/")
@click.option("-k", type=click.IntRange(min=1), metavar="N", default=10, help="Return this many hits.")
@click.option(
    "--mode",
    type=EnumChoice("hpdsearch.search", "Mode"),
    default="hybrid",
    help="Rank by BM25 (lexical), by cosine (dense) or by both (hybrid).",
)
@click.option(
    "--where", metavar="FILTER", help="""Return only documents whose metadata match: 'year >= 2020 and lang = "en"'."""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per query.")
@click.option(
    "--batch",
    type=UserPath(dir_okay=False),
    metavar="FILE",
    help="Search with every query of a .txt, .jsonl, .csv or .tsv file.",
)
@click.option(
    "--run-file",
    type=UserFile("w", encoding="utf-8", lazy=True),
    metavar="FILE",
    help="Write the hits to this file as a TREC run.",
)
@click.option(
    "--ann-recall",
    cls=RenamedOption,
    former=("--recall",),
    type=click.FloatRange(0, 1, min_open=True),
    metavar="RECALL",
    show_default="the recall target of the index",
    help="Search at another measured operating point: find this share of the exact 10 nearest passages.",
)
@click.option(
    "--query-encoder",
    cls=RenamedOption,
    former=("--encoder",),
    type=expand_home,
    metavar="ENCODER",
    show_default="the encoder of the index",
    help="Encode queries with this encoder of the same space.",
)
def query(
    text: str | None,
    index_option: str | None,
    k: int,
    mode: "Mode",
    where: str | None,
    as_json: bool,
    batch: str | None,
    run_file: IO[str] | None,
    ann_recall: float | None,
    query_encoder: str | None,
) -> None:
    """Search an index, once or interactively.

    TEXT is the query, in natural language. Without TEXT and --batch, an interactive session starts.

    \b
    Examples:
      hpdsearch query "machine that measures earthquakes"
      hpdsearch query "tax reform" -i indexes/news --where 'year >= 2020'
      hpdsearch query --batch queries.jsonl --run-file run.txt
      hpdsearch query
    """
    from hpdsearch.index import Index

    if text is not None and batch is not None:
        raise click.UsageError("expected TEXT or --batch, got both")
    if run_file is not None and text is None and batch is None:
        raise click.UsageError("--run-file goes with TEXT or --batch")
    with Index.open(find_index(index_option), encoder=query_encoder) as index:
        if text is None and batch is None:
            from hpdsearch.cli.repl import Session, run_session

            run_session(Session(index, k, mode, where, ann_recall, as_json))
            return
        queries = [("1", text)] if text is not None else _read_queries(str(batch))
        for block in _split_blocks(queries):
            start = time.perf_counter()
            results = index.search([text for _, text in block], k, mode=mode, where=where, ann_recall=ann_recall)
            milliseconds = (time.perf_counter() - start) * 1000 / len(block)
            for (query_id, query_text), hits in zip(block, results, strict=True):
                if run_file is not None:
                    _write_run(run_file, query_id, hits)
                if as_json:
                    echo_json(describe_answer(query_id, query_text, hits, milliseconds))
                elif run_file is None:
                    if batch is not None:
                        echo(f"{query_id}: {query_text}")
                    show_hits(hits, milliseconds)


def _read_queries(path: str) -> Iterator[Query]:
    """Yield the queries of a file; the id of a line of a .txt is its number."""
    from hpdsearch.corpus import read_corpus

    is_plain = Path(path).name.removesuffix(".gz").endswith(".txt")
    for document in read_corpus(path, strict=True):
        yield (document.source.rpartition(":")[2] if is_plain else document.doc_id), document.text


def _split_blocks(queries: Iterable[Query]) -> Iterator[list[Query]]:
    iterator = iter(queries)
    while block := list(islice(iterator, BATCH_SIZE)):
        yield block


def _write_run(file: IO[str], query_id: str, hits: "Sequence[Hit]") -> None:
    """Write lines `query Q0 doc_id rank score tag`, the format of trec_eval.

    Raises:
        QueryError: an id contains white space.
    """
    for rank, hit in enumerate(hits, start=1):
        for name, value in (("query id", query_id), ("doc_id", hit.doc_id)):
            if value.split() != [value]:
                raise QueryError(
                    f"--run-file: {name} {value!r} contains white space, which a TREC run cannot hold; use --json"
                )
        file.write(f"{query_id} Q0 {hit.doc_id} {rank} {hit.score:.6f} hpdsearch\n")
