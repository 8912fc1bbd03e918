"""Commands that change the documents of an index folder: index, add, delete."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hpdsearch.cli.info import print_index
from hpdsearch.cli.options import (
    Corpus,
    bars,
    corpus_options,
    default_folder,
    dim_option,
    encoder_option,
    find_index,
    spec_of,
    spec_options,
)

if TYPE_CHECKING:
    from hpdsearch.indexer.ingest import IngestReport


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Index folder.  [default: indexes/NAME of CORPUS]"
)
@encoder_option
@dim_option
@spec_options
@click.option("--overwrite", is_flag=True, help="Replace an index; it answers until the new one is in force.")
@click.option(
    "--update",
    is_flag=True,
    help="Bring an index that is there up to what CORPUS holds now; only new texts are encoded.",
)
@corpus_options
def index(
    corpus: tuple[str, ...],
    output: Path | None,
    encoder: str | None,
    dim: int | None,
    overwrite: bool,
    update: bool,
    **options: Any,
) -> None:
    """Index the documents of files and folders.

    CORPUS: .txt (a document a line), .jsonl, .csv, .tsv, .parquet, each also as .gz; folders of .txt, .md, .rst and
    .html (a document a file); - for standard input.

    \b
    hpdsearch index corpus.txt
    hpdsearch index articles.jsonl.gz --text-field body -o indexes/news
    hpdsearch index ~/notes --dim 64
    hpdsearch index ~/notes --update
    """
    from hpdsearch.encoder import DEFAULT_ENCODER
    from hpdsearch.index import Index

    folder, spec = output or default_folder(corpus[0]), spec_of(options)
    documents = Corpus(corpus, **options)
    if update:
        _refuse_settings("--update")
        _update(folder, documents)
        return
    try:
        with Index.build(
            folder,
            documents,
            encoder=encoder or DEFAULT_ENCODER,
            dim=dim,
            spec=spec,
            overwrite=overwrite,
            strict=documents.strict,
            progress=bars(),
        ) as built:
            assert built.summary is not None
            _print_summary(built.summary, documents, folder)
            print_index(built.info())
    except KeyboardInterrupt:
        state = "the old index is in force" if overwrite and folder.exists() else "nothing was committed"
        raise click.ClickException(f"{folder}: stopped; {state}") from None
    click.echo(f"ask it:     hpdsearch query -i {folder}")


def _refuse_settings(option: str) -> None:
    """An index that is there keeps its encoder and spec: say so instead of leaving options aside in silence."""
    context = click.get_current_context()
    for name in ("encoder", "dim", "overwrite", "kind", "codec", "recall", "memory", "nlist", "nprobe", "rescore"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            how = "index again with --overwrite" if name in ("encoder", "dim", "overwrite") else "use hpdsearch tune"
            raise click.UsageError(f"--{name} does not go with {option}, which keeps what the index has; {how}")


def _update(folder: Path, documents: Corpus) -> None:
    from hpdsearch.index import Index

    with Index.open(folder) as opened:
        try:
            paths = ["stdin" if path == "-" else path for path in documents.paths]
            summary = opened.update(documents, under=paths, strict=documents.strict, progress=bars())
        except KeyboardInterrupt:
            raise click.ClickException(f"{folder}: stopped; the index is as it was") from None
        if not summary.n_documents and not summary.n_deleted:
            click.echo(f"{folder}: up to date, {summary.n_unchanged:,} documents are unchanged")
            return
        _print_summary(summary, documents, folder)


@click.command()
@click.argument("folder")
@click.argument("corpus", nargs=-1, required=True)
@corpus_options
def add(folder: str, corpus: tuple[str, ...], **reading: Any) -> None:
    """Add documents to an index; a document with the same id as an older one replaces it.

    \b
    hpdsearch add indexes/news today.jsonl
    """
    from hpdsearch.index import Index

    path, documents = find_index(folder), Corpus(corpus, **reading)
    with Index.open(path) as opened:
        try:
            summary = opened.add(documents, strict=documents.strict, progress=bars())
        except KeyboardInterrupt:
            raise click.ClickException(f"{path}: stopped; the index is as it was") from None
        _print_summary(summary, documents, path)


@click.command()
@click.argument("folder")
@click.argument("doc_ids", nargs=-1, metavar="DOC_ID...")
@click.option("--ids-file", type=click.File(encoding="utf-8"), help="Take more ids from a file, one a line.")
def delete(folder: str, doc_ids: tuple[str, ...], ids_file: Any) -> None:
    """Delete documents from an index: all that are named or, if one is not there, none.

    \b
    hpdsearch delete indexes/news article-17 article-18
    """
    from hpdsearch.index import Index

    wanted = list(doc_ids)
    if ids_file is not None:
        wanted += [line.rstrip("\r\n") for line in ids_file if line.strip()]
    if not wanted:
        raise click.UsageError("expected a DOC_ID or --ids-file, got neither")
    with Index.open(find_index(folder)) as opened:
        n_deleted = opened.delete(wanted)
        click.echo(f"{opened.folder}: {n_deleted:,} documents deleted, {len(opened):,} left")


def _print_summary(summary: "IngestReport", corpus: Corpus, folder: Path) -> None:
    documents = f"{summary.n_documents:,} documents, {summary.n_passages:,} passages"
    seconds = max(summary.seconds, 1e-9)
    rate = f"{summary.n_documents / seconds:,.0f} documents/s, {summary.n_passages / seconds:,.0f} passages/s"
    click.echo(f"{folder}: {documents} in {summary.seconds:.1f} s ({rate})")
    counts = {
        "unchanged": summary.n_unchanged,
        "deleted, gone from their files": summary.n_deleted,
        "not encoded again": summary.n_reused,
        "replaced older ones": summary.n_replaced,
        "empty, skipped": summary.n_empty + corpus.stats.n_empty,
        "long ones, cut into passages": summary.n_split,
        "duplicate texts, kept": summary.n_duplicates,
        "long titles, not encoded whole": summary.n_truncated_titles,
        "hidden files and folders, skipped": corpus.stats.n_hidden,
        "links, not followed": corpus.stats.n_links,
    }
    noted = [f"{count:,} {what}" for what, count in counts.items() if count]
    noted += [
        f"{count:,} {ending or 'files without ending'}, not read"
        for ending, count in sorted(corpus.stats.other_files.items())
    ]
    click.echo(f"noted:      {'; '.join(noted) or 'nothing skipped, cut or duplicate'}")
