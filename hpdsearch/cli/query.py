"""The command `query`: one query, a file of queries, or an interactive session."""

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from hpdsearch.cli.display import describe_missing, show_hits
from hpdsearch.cli.index_argument import find_index, index_option
from hpdsearch.cli.output import echo, echo_json
from hpdsearch.cli.output_file import open_output_file, overwrite_option, uses_stdout
from hpdsearch.cli.parameters import EnumChoice, OutputPath, RenamedOption, UserPath, expand_home
from hpdsearch.cli.ray_options import check_ray_options, ray_search_options
from hpdsearch.errors import QueryError
from hpdsearch.records import Hits, describe_answer, describe_like

if TYPE_CHECKING:
    from hpdsearch.index import Index
    from hpdsearch.records import Hit

BATCH_SIZE = 256
Query = tuple[str, str]  # id and text


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]")
@index_option("the only index under indexes/")
@click.option("-k", type=click.IntRange(min=1), metavar="N", default=10, help="Return this many hits.")
@click.option(
    "--mode",
    type=EnumChoice("hpdsearch.search", "Mode"),
    default="hybrid",
    help="Rank by BM25 (lexical), by cosine (dense) or by both (hybrid).",
)
@click.option("--where", metavar="FILTER", help="""Return only documents that match: 'year >= 2020 and lang = "en"'.""")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per query.")
@click.option("--full", is_flag=True, help="Print the full text of each hit. Without it, only a passage is printed.")
@click.option(
    "--batch",
    type=UserPath(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Search with every query of a .txt, .jsonl, .csv or .tsv file. A blank one has no hits.",
)
@click.option(
    "--id-field",
    metavar="NAME",
    show_default="id or _id, else FILE:LINE",
    help="Read the query's id from this field of a .jsonl, .csv or .tsv file.",
)
@click.option(
    "--text-field",
    metavar="NAME",
    show_default="text",
    help="Read the query from this field of a .jsonl, .csv or .tsv file.",
)
@click.option(
    "--run-file",
    type=OutputPath(),
    metavar="FILE",
    help="Write the hits to this file, or to standard output (-), as a TREC run.",
)
@overwrite_option
@click.option(
    "--like",
    metavar="DOC_ID",
    help="Find the documents that are most like this one of the index. It takes the place of TEXT.",
)
@click.option(
    "--min-score",
    type=float,
    metavar="SCORE",
    help="Leave out hits with a lower score: a cosine in mode dense and with --like, BM25 in mode lexical.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show for each hit both scores and ranks, the words that match and the nearest sentence.",
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
@ray_search_options
def query(
    words: tuple[str, ...],
    index_option: str | None,
    batch: str | None,
    id_field: str | None,
    text_field: str | None,
    run_file: Path | None,
    overwrite: bool,
    query_encoder: str | None,
    as_json: bool,
    full: bool,
    like: str | None,
    ray: str | None,
    replicas: int | None,
    deadline: float | None,
    **search: Any,
) -> None:
    """Search an index, once or interactively.

    TEXT is the query, in natural language. Without TEXT, --batch and --like, an interactive session starts. Except in
    mode dense, "exact words", +required and -excluded words restrict the hits.

    \b
    Examples:
      hpdsearch query "machine that measures earthquakes"
      hpdsearch query "tax reform" -i indexes/news --where 'year >= 2020'
      hpdsearch query --batch queries.jsonl --run-file run.txt
      hpdsearch query --like n04159545 --where 'pos = "noun"'
      hpdsearch query "tax reform" -i /shared/news --ray auto --replicas 2
      hpdsearch query
    """
    check_ray_options(ray, replicas, deadline)
    _check_usage(words, batch, run_file, id_field, text_field, as_json)
    if like is not None:
        _check_like(words, batch, run_file)
    folder = find_index(index_option)
    with ExitStack() as stack:
        run = None
        if run_file is not None:
            inputs = [folder, *([Path(batch)] if batch is not None else [])]
            run = stack.enter_context(open_output_file(run_file, overwrite=overwrite, inputs=inputs))
        index = stack.enter_context(_open(folder, query_encoder, ray, replicas, deadline))
        if like is not None:
            _show_like(index, like, as_json=as_json, full=full, **search)
            return
        if not words and batch is None:
            from hpdsearch.cli.repl import Session, run_session

            run_session(Session(index, as_json=as_json, full=full, **search))
            return
        queries = _read_queries(batch, id_field, text_field) if batch is not None else [("1", words[0])]
        n_blank = 0
        for block in _split_blocks(queries):
            answers, milliseconds = _search_block(index, block, skip_blank=batch is not None, **search)
            for (query_id, text), hits in zip(block, answers, strict=True):
                n_blank += hits is None
                if run is not None:
                    _write_run(run, query_id, hits or [])
                answer = [] if hits is None else hits
                if as_json:
                    echo_json(describe_answer(query_id, text, answer, milliseconds, full=full))
                elif run is None:
                    if batch is not None:
                        echo(f"{query_id}: {text}")
                    show_hits(answer, milliseconds, full=full)
                elif isinstance(answer, Hits) and answer.missing_shards:
                    echo(f"{query_id}: {describe_missing(answer)}", err=True)
        if n_blank:
            echo(f"{batch}: {n_blank:,} of the queries blank, answered without hits", err=True)


def _open(folder: Path, encoder: str | None, ray: str | None, replicas: int | None, deadline: float | None) -> "Index":
    """Open an index in this process, or in shards on a cluster."""
    if ray is None:
        from hpdsearch.index import Index

        return Index.open(folder, encoder=encoder)
    from hpdsearch.cluster.ray.ray_index import DEADLINE_SECONDS, RayIndex

    return RayIndex(folder, address=ray, replicas=replicas or 1, deadline=deadline or DEADLINE_SECONDS, encoder=encoder)


def _check_usage(
    words: tuple[str, ...],
    batch: str | None,
    run_file: Path | None,
    id_field: str | None,
    text_field: str | None,
    as_json: bool,
) -> None:
    """Raise click.UsageError for arguments and options that do not go together."""
    if words and batch is not None:
        raise click.UsageError("expected TEXT or --batch, got both")
    if len(words) > 1:
        quoted = shlex.quote(" ".join(words))
        raise click.UsageError(f"expected one TEXT, got {len(words)} words; quote them: hpdsearch query {quoted}")
    if run_file is not None and not words and batch is None:
        raise click.UsageError("--run-file goes with TEXT or --batch")
    if as_json and uses_stdout(run_file):
        raise click.UsageError(f"--json and --run-file {run_file}: expected one of them on standard output, got both")
    if (id_field is not None or text_field is not None) and batch is None:
        raise click.UsageError("--id-field and --text-field go with --batch")


def _check_like(words: tuple[str, ...], batch: str | None, run_file: Path | None) -> None:
    """Raise click.UsageError for options that do not go with --like."""
    if words or batch is not None or run_file is not None:
        raise click.UsageError("--like takes the place of TEXT and --batch, and has no --run-file")
    context = click.get_current_context()
    given = [name for name in ("mode", "explain") if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given:
        raise click.UsageError(f"--like compares vectors alone, so it does not go with --{given[0]}")


def _show_like(index: "Index", doc_id: str, *, as_json: bool, full: bool, **search: Any) -> None:
    """Print the documents that are most like one of the index."""
    del search["mode"], search["explain"]
    start = time.perf_counter()
    hits = index.like(doc_id, **search)
    milliseconds = (time.perf_counter() - start) * 1000
    if as_json:
        echo_json(describe_like(doc_id, hits, milliseconds, full=full))
    else:
        show_hits(hits, milliseconds, full=full)


def _read_queries(path: str, id_field: str | None, text_field: str | None) -> Iterator[Query]:
    """Yield the queries of a file, blank ones too; the id of a line of a .txt or of standard input is its number."""
    from hpdsearch.corpus import Fields, ReadOptions, read_corpus

    fields = Fields(id_field=id_field, text_field=text_field or Fields().text_field)
    is_plain = path == "-" or Path(path).name.removesuffix(".gz").endswith(".txt")
    for document in read_corpus(path, ReadOptions(fields), keep_empty=True):
        yield (document.source.rpartition(":")[2] if is_plain else document.doc_id), document.text


def _search_block(
    index: "Index", block: Sequence[Query], *, skip_blank: bool, **search: Any
) -> tuple[list["list[Hit] | None"], float]:
    """Search with the queries of a block.

    Returns:
        the hits of each query, None for a blank one that is skipped; mean milliseconds of a query.
    """
    start = time.perf_counter()
    asked = [text for _, text in block if not skip_blank or text.strip()]
    found = iter(index.search(asked, **search))
    answers = [next(found) if not skip_blank or text.strip() else None for _, text in block]
    return answers, (time.perf_counter() - start) * 1000 / len(block)


def _split_blocks(queries: Iterable[Query]) -> Iterator[list[Query]]:
    iterator = iter(queries)
    while block := list(islice(iterator, BATCH_SIZE)):
        yield block


def _write_run(file: BinaryIO, query_id: str, hits: "Sequence[Hit]") -> None:
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
        file.write(f"{query_id} Q0 {hit.doc_id} {rank} {hit.score:.6f} hpdsearch\n".encode())
