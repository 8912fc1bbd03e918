"""Commands that change the documents of an index: index, add, delete."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hpdsearch.cli.building import build_index, find_remote
from hpdsearch.cli.corpus import choose_folder, corpus_options, open_corpus, print_skipped
from hpdsearch.cli.index_argument import find_index, index_option, index_parameters, split_index, wait_option
from hpdsearch.cli.info import print_segments
from hpdsearch.cli.options import (
    SPEC_FIELDS,
    device_option,
    dim_option,
    document_encoder_option,
    draft_options,
    encoder_option,
    language_option,
    spec_options,
    take_spec,
)
from hpdsearch.cli.output import echo, format_count, make_progress
from hpdsearch.cli.parameters import UserPath
from hpdsearch.cli.ray_options import ray_option
from hpdsearch.cluster.ray.connection import require_ray

if TYPE_CHECKING:
    from hpdsearch.cluster.ray.remote_corpus import RemoteCorpus
    from hpdsearch.corpus import CorpusReader
    from hpdsearch.encoder import Device
    from hpdsearch.index import Index
    from hpdsearch.indexer.ingest import IngestReport

SHOWN_LOOPS = 3


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    show_default="indexes/NAME, after CORPUS",
    help="Write the index to this folder.",
)
@encoder_option
@dim_option
@spec_options
@click.option(
    "--overwrite", is_flag=True, help="Replace an index. The old one stays searchable until the new one is done."
)
@click.option(
    "--update",
    is_flag=True,
    help="Bring an existing index up to date with CORPUS. Only new texts are encoded. Documents that are gone from "
    "CORPUS are deleted. If the folder of the encoder has moved, --encoder names the new one.",
)
@draft_options
@device_option
@language_option
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="no shards",
    help="Divide the index among N folders, which several processes build, and which are searched as one.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="P",
    show_default="one a core, at most N",
    help="Build the shards in P processes; each uses an equal share of the cores. With --ray, at most P encode.",
)
@ray_option("Build the shards, without a draft, on a Ray cluster whose nodes all see the folder.")
@wait_option
@corpus_options
def index(
    corpus: tuple[str, ...],
    output: Path | None,
    encoder: str | None,
    dim: int | None,
    overwrite: bool,
    update: bool,
    draft: bool,
    no_refine: bool,
    device: "Device",
    language: str,
    shards: int | None,
    processes: int | None,
    ray: str | None,
    wait: float,
    **options: Any,
) -> None:
    """Index the documents of files and folders.

    CORPUS is a file of documents: .txt (one a line), .jsonl, .json, .csv, .tsv, each also as .gz, .parquet or .mbox; a
    file or a folder of files that are one document each: .txt, .md, .rst, .html, .pdf, .docx, .pptx, .xlsx, .odt,
    .epub, .eml, .ipynb and source code; or - for standard input.

    Many documents are indexed by a fast encoder first, in seconds. Then the wanted encoder refines this draft, while it
    is searched. If that is stopped, the same command or hpdsearch refine goes on.

    \b
    Examples:
      hpdsearch index corpus.txt
      hpdsearch index articles.jsonl.gz --text-field body -o indexes/news
      hpdsearch index ~/notes --dim 64
      hpdsearch index ~/notes --update
      hpdsearch index articles.jsonl --shards 8 -o indexes/articles
      hpdsearch index articles.jsonl --shards 8 --ray auto -o /shared/articles
    """
    from hpdsearch.corpus import CorpusReader

    if (processes is not None or ray is not None) and shards is None:
        raise click.UsageError(f"--{'processes' if ray is None else 'ray'} goes with --shards")
    if update:
        _refuse_settings()
    if ray is not None:
        require_ray()
    is_remote = ray is not None and any("://" in name for name in corpus)
    if is_remote and output is None:
        raise click.UsageError("a corpus at a URL needs --output")
    folder = output or choose_folder(corpus[0])
    spec = take_spec(options)
    documents = find_remote(corpus, **options) if is_remote else open_corpus(corpus, check=not update, **options)
    if update:
        assert isinstance(documents, CorpusReader)  # --ray is refused
        _update(folder, documents, encoder, draft, no_refine, device, wait)
        return
    if isinstance(documents, CorpusReader) and ray is None and not overwrite and _is_unfinished(folder, encoder):
        echo(f"{folder}: going on with the draft of an earlier run")
        _update(folder, documents, None, draft, no_refine, device, wait)
        return
    try:
        with build_index(
            ray,
            folder,
            documents,
            encoder=encoder,
            dim=dim,
            spec=spec,
            overwrite=overwrite,
            wait=wait,
            draft=draft,
            device=device,
            language=language,
            shards=shards or 0,
            processes=processes or 0,
        ) as built:
            assert built.report is not None
            _print_report(built.report, documents, folder)
            _refine(built, no_refine)
            described = built.info()
            if described.languages != ["en"]:
                echo(f"languages:  {', '.join(described.languages)}")
            print_segments(described)
    except KeyboardInterrupt:
        state = "the old index is unchanged" if overwrite and folder.exists() else "no index was made"
        raise _stopped(folder, state, is_sharded=shards is not None) from None
    echo(f"search it:  hpdsearch query -i {folder}")


def _refuse_settings() -> None:
    """Raise click.UsageError for options that --update would ignore, since an index keeps its encoder and its spec."""
    context = click.get_current_context()
    for option in context.command.params:
        if context.get_parameter_source(str(option.name)) is not ParameterSource.COMMANDLINE:
            continue
        if option.name in ("dim", "language", "overwrite", "shards", "processes", "ray"):
            advice = "index again with --overwrite"
        elif option.name in SPEC_FIELDS:
            advice = "use hpdsearch reindex"
        else:
            continue
        raise click.UsageError(
            f"{option.opts[-1]} does not go with --update, which keeps the settings of the index; {advice}"
        )


def _is_unfinished(folder: Path, encoder: str | None) -> bool:
    """Tell whether a folder holds a draft that this command would have made."""
    from hpdsearch.errors import HpdsearchError
    from hpdsearch.index import Index

    try:
        with Index.open(folder) as opened:
            described = opened.info()
    except HpdsearchError:
        return False
    return described.n_draft > 0 and encoder in (None, described.encoder)


def _stopped(folder: Path, state: str, *, is_sharded: bool = False) -> click.ClickException:
    """Return the message of a command that was interrupted before its commit."""
    from hpdsearch.indexer.transaction import ENCODED

    is_kept = (folder / ENCODED).exists() or (is_sharded and folder.exists())
    advice = "; what is encoded is kept, and the same command goes on" if is_kept else ""
    return click.ClickException(f"{folder}: stopped; {state}{advice}")


def _refine(opened: "Index", no_refine: bool = False) -> None:
    """Refine the draft of an index, if it has one and the user wants it, and print how long it took."""
    n_draft = opened.info().n_draft
    if not n_draft:
        return
    echo(f"searchable: hpdsearch query -i {opened.folder} (draft; {format_count(n_draft, 'passage')} to refine)")
    if no_refine:
        echo(f"refine it:  hpdsearch refine {opened.folder}")
        return
    start = time.perf_counter()
    try:
        n_encoded = opened.refine(progress=make_progress())
    except KeyboardInterrupt:
        raise click.ClickException(
            f"{opened.folder}: stopped; it can be searched, and what is encoded is kept; go on with: "
            f"hpdsearch refine {opened.folder}"
        ) from None
    seconds = max(time.perf_counter() - start, 1e-9)
    rate = f"{n_encoded / seconds:,.0f} passages/s"
    echo(f"refined:    {format_count(n_encoded, 'passage')} in {seconds:.1f} s ({rate})")


@click.command()
@index_parameters
@document_encoder_option
@device_option
@wait_option
def refine(
    index_argument: str | None, index_option: str | None, document_encoder: str | None, device: "Device", wait: float
) -> None:
    """Go on with the draft of an index that was stopped.

    The index can be searched and changed meanwhile.

    \b
    Examples:
      hpdsearch refine indexes/news
    """
    from hpdsearch.index import Index

    folder = find_index(index_option, index_argument)
    with Index.open(folder, document_encoder=document_encoder, device=device, wait=wait) as opened:
        if not opened.info().n_draft:
            echo(f"{folder}: is refined already")
        _refine(opened)


def _update(
    folder: Path,
    documents: "CorpusReader",
    document_encoder: str | None,
    draft: bool,
    no_refine: bool,
    device: "Device",
    wait: float,
) -> None:
    from hpdsearch.corpus.scope import CorpusScope
    from hpdsearch.index import Index

    with Index.open(folder, document_encoder=document_encoder, device=device, wait=wait) as opened:
        try:
            stats = documents.stats
            scope = CorpusScope(documents.paths, stats.locations_read, stats.locations_skipped)
            report = opened.update(
                documents,
                under=scope,
                strict=documents.strict,
                on_error=documents.on_error,
                draft=draft,
                progress=make_progress(),
            )
        except KeyboardInterrupt:
            raise _stopped(folder, "the index is unchanged") from None
        if report.n_documents or report.n_deleted:
            _print_report(report, documents, folder)
            _refine(opened, no_refine)
            return
        echo(f"{folder}: up to date, {format_count(report.n_unchanged, 'unchanged document')}")
        if left_out := _describe_counts(_count_left_out(report)):
            echo(f"notes:      {left_out}")
        print_skipped(report.skipped)
        _refine(opened, no_refine)


@click.command()
@click.argument("arguments", nargs=-1, metavar="INDEX CORPUS...")
@index_option("the first argument")
@document_encoder_option
@draft_options
@device_option
@wait_option
@corpus_options
def add(
    arguments: tuple[str, ...],
    index_option: str | None,
    document_encoder: str | None,
    draft: bool,
    no_refine: bool,
    device: "Device",
    wait: float,
    **reading: Any,
) -> None:
    """Add documents to an index.

    A document replaces an older one with the same id. With -i all arguments are CORPUS.

    \b
    Examples:
      hpdsearch add indexes/news today.jsonl
      hpdsearch add -i news today.jsonl ~/notes
    """
    from hpdsearch.index import Index

    name, corpus = split_index(index_option, arguments)
    if not corpus:
        raise click.UsageError("Missing argument 'CORPUS...'.")
    folder = find_index(name)
    documents = open_corpus(corpus, **reading)
    with Index.open(folder, document_encoder=document_encoder, device=device, wait=wait) as opened:
        try:
            report = opened.add(
                documents, strict=documents.strict, on_error=documents.on_error, draft=draft, progress=make_progress()
            )
        except KeyboardInterrupt:
            raise _stopped(folder, "the index is unchanged") from None
        _print_report(report, documents, folder)
        _refine(opened, no_refine)


@click.command()
@click.argument("arguments", nargs=-1, metavar="INDEX [DOC_ID]...")
@index_option("the first argument")
@click.option(
    "--ids-file",
    type=UserPath(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Read more ids from this file, one a line.",
)
@wait_option
def delete(arguments: tuple[str, ...], index_option: str | None, ids_file: str | None, wait: float) -> None:
    """Delete documents from an index.

    If an id is not in the index, nothing is deleted. With -i all arguments are ids.

    \b
    Examples:
      hpdsearch delete indexes/news article-17 article-18
      hpdsearch delete -i news --ids-file ids.txt
    """
    from hpdsearch.index import Index

    name, given = split_index(index_option, arguments)
    doc_ids = list(given)
    if ids_file is not None:
        doc_ids += _read_ids(ids_file)
    if not doc_ids:
        raise click.UsageError("expected a DOC_ID or --ids-file, got neither")
    with Index.open(find_index(name), wait=wait) as opened:
        try:
            n_deleted = opened.delete(doc_ids)
        except KeyboardInterrupt:
            raise click.ClickException(f"{opened.folder}: stopped; the index is unchanged") from None
        echo(f"{opened.folder}: {format_count(n_deleted, 'document')} deleted, {len(opened):,} left")


def _read_ids(path: str) -> list[str]:
    """Read the doc_ids of a UTF-8 file or of standard input (-), one a line; blank lines count for nothing."""
    from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines

    location = SourceLocation("stdin" if path == "-" else path)
    with open_stream(sys.stdin.buffer if path == "-" else Path(path), location, compressed=False) as (file, _):
        return [line.rstrip("\r\n") for line in read_text_lines(file, location) if line.strip()]


def _print_report(report: "IngestReport", corpus: "CorpusReader | RemoteCorpus", folder: Path) -> None:
    documents = f"{format_count(report.n_documents, 'document')}, {format_count(report.n_passages, 'passage')}"
    seconds = max(report.seconds, 1e-9)
    rate = f"{report.n_documents / seconds:,.0f} documents/s, {report.n_passages / seconds:,.0f} passages/s"
    echo(f"{folder}: indexed {documents} in {report.seconds:.1f} s ({rate})")
    counts = {
        "unchanged documents": report.n_unchanged,
        **_count_left_out(report),
        "documents deleted, no longer in their files": report.n_deleted,
        "documents not encoded again": report.n_reused,
        "passages that an interrupted run had encoded": report.n_resumed,
        "documents replaced": report.n_replaced,
        "of these came from other sources": report.n_replaced_others,
        "empty documents skipped": report.n_empty + corpus.stats.n_empty,
        "long documents split into passages": report.n_split,
        "documents with the text of another": report.n_duplicates,
        "long titles truncated for the encoder": report.n_truncated_titles,
        "table cells that span lines": corpus.stats.n_multiline_cells,
        "records and files skipped because of errors": corpus.stats.skipped.count + report.skipped.count,
        "hidden files and folders skipped": corpus.stats.n_hidden,
        "files and folders excluded by patterns": corpus.stats.n_excluded,
        "binary files skipped": corpus.stats.n_binary,
        "links not followed": corpus.stats.n_links,
        f"of these are loops ({', '.join(corpus.stats.loops[:SHOWN_LOOPS])})": len(corpus.stats.loops),
        "files named twice and read once": corpus.stats.n_repeated,
    }
    counts |= {
        f"{ending or 'files without an ending'} not read": count
        for ending, count in sorted(corpus.stats.other_files.items())
    }
    echo(f"notes:      {_describe_counts(counts) or 'no document was skipped, split or duplicate'}")
    print_skipped(report.skipped)


def _count_left_out(report: "IngestReport") -> dict[str, int]:
    """Return the counts of an update that leaves documents as they are, by their descriptions."""
    return {
        "documents left as another source has replaced them": report.n_kept,
        "documents deleted earlier, not brought back": report.n_withdrawn,
        "documents moved, their former file is gone": report.n_moved,
    }


def _describe_counts(counts: dict[str, int]) -> str:
    return "; ".join(f"{count:,} {name}" for name, count in counts.items() if count)
