"""The command `query`: one query, a file of them, or an interactive session."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from hpdsearch.cli.display import answer_json, show_hits
from hpdsearch.cli.options import echo_json, encoder_option, find_index, recall_option
from hpdsearch.errors import QueryError

if TYPE_CHECKING:
    from hpdsearch.records import Hit

BATCH = 256


@click.command()
@click.argument("text", required=False)
@click.option("-i", "--index", "folder", help="Index folder, or a name under indexes/.  [default: the only one there]")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Hits wanted.")
@click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]), default="hybrid", show_default=True)
@click.option("--where", help="""Filter on metadata: 'year >= 2020 and lang = "en"'.""")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a query.")
@click.option("--batch", type=click.Path(dir_okay=False), help="Ask every query of a file: .txt, .jsonl, .csv or .tsv.")
@click.option("--run-file", type=click.File("w", encoding="utf-8", lazy=True), help="Write the hits as a TREC run.")
@recall_option
@encoder_option
def query(
    text: str | None,
    folder: str | None,
    k: int,
    mode: str,
    where: str | None,
    as_json: bool,
    batch: str | None,
    run_file: IO[str] | None,
    recall: float | None,
    encoder: str | None,
) -> None:
    """Ask an index in plain words. Without TEXT: one query after the other.

    \b
    hpdsearch query "machine that measures earthquakes"
    hpdsearch query "tax reform" -i indexes/news --where 'year >= 2020'
    hpdsearch query --batch queries.jsonl --run-file run.txt
    """
    from hpdsearch.index import Index

    if text is not None and batch is not None:
        raise click.UsageError("expected TEXT or --batch, got both")
    if run_file is not None and text is None and batch is None:
        raise click.UsageError("--run-file goes with TEXT or --batch")
    with Index.open(find_index(folder), encoder=encoder) as index:
        if text is None and batch is None:
            from hpdsearch.cli.repl import Session, run_session

            run_session(Session(index, k, mode, where, recall, as_json))
            return
        queries = [("1", text)] if text is not None else _read_queries(str(batch))
        for block in _blocks(queries):
            start = time.perf_counter()
            results = index.search([text for _, text in block], k, mode=mode, where=where, recall=recall)
            milliseconds = (time.perf_counter() - start) * 1000 / len(block)
            for (query_id, query_text), hits in zip(block, results, strict=True):
                if run_file is not None:
                    _write_run(run_file, query_id, hits)
                if as_json:
                    echo_json(answer_json(query_id, query_text, hits, milliseconds))
                elif run_file is None:
                    if batch is not None:
                        click.echo(f"{query_id}: {query_text}")
                    show_hits(hits, milliseconds)


def _read_queries(path: str) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of a file of queries; a line of a .txt has its number as id."""
    from hpdsearch.corpus import read_corpus

    plain = Path(path).name.removesuffix(".gz").endswith(".txt")
    for document in read_corpus(path, strict=True):
        yield (document.source.rpartition(":")[2] if plain else document.doc_id), document.text


def _blocks(queries: "Sequence[tuple[str, str]] | Iterator[tuple[str, str]]") -> Iterator[list[tuple[str, str]]]:
    iterator = iter(queries)
    while block := list(islice(iterator, BATCH)):
        yield block


def _write_run(file: IO[str], query_id: str, hits: "Sequence[Hit]") -> None:
    """Write lines `query Q0 doc_id rank score tag`, as trec_eval reads them."""
    for rank, hit in enumerate(hits, start=1):
        for what, value in (("query id", query_id), ("doc_id", hit.doc_id)):
            if value.split() != [value]:
                raise QueryError(f"--run-file: {what} {value!r} holds white space, which a TREC run cannot; use --json")
        file.write(f"{query_id} Q0 {hit.doc_id} {rank} {hit.score:.6f} hpdsearch\n")
