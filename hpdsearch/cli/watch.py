"""The command `watch`: keep an index up to date while its files change."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.corpus import corpus_options, open_corpus
from hpdsearch.cli.index_argument import find_index, index_option, split_index, wait_option
from hpdsearch.cli.options import device_option, document_encoder_option
from hpdsearch.cli.output import echo, format_count, make_progress
from hpdsearch.cli.parameters import expand_home
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.errors import CorpusError, LockedError

if TYPE_CHECKING:
    from hpdsearch.corpus import CorpusReader
    from hpdsearch.encoder import Device
    from hpdsearch.index import Index
    from hpdsearch.indexer.ingest import IngestReport


@click.command()
@click.argument("arguments", nargs=-1, metavar="INDEX CORPUS...")
@index_option("the first argument")
@document_encoder_option
@device_option
@wait_option
@partial(corpus_options, on_error="skip")
def watch(
    arguments: tuple[str, ...],
    index_option: str | None,
    document_encoder: str | None,
    device: "Device",
    wait: float,
    **reading: Any,
) -> None:
    """Keep an index up to date while files change, until Ctrl-C.

    It begins with an update (as index --update), and goes on with one whenever files of CORPUS change. Others may
    search the index meanwhile, and see each change. With -i all arguments are CORPUS.

    \b
    Examples:
      hpdsearch watch indexes/notes ~/notes
      hpdsearch watch -i notes ~/notes ~/papers --exclude drafts/
    """
    from hpdsearch.corpus.patterns import PathFilter
    from hpdsearch.corpus.watching import CorpusChanges
    from hpdsearch.index import Index

    name, corpus = split_index(index_option, arguments)
    if not corpus:
        raise click.UsageError("Missing argument 'CORPUS...'.")
    folder = find_index(name)
    paths = tuple(map(expand_home, corpus))
    changes = CorpusChanges(paths, PathFilter(reading["include"], reading["exclude"]), folder)
    with Index.open(folder, document_encoder=document_encoder, device=device, wait=wait) as opened:
        try:
            echo(f"{folder}: watching {', '.join(corpus)}; Ctrl-C ends it")
            read = partial(open_corpus, paths, check=False, shows_skipped=False, **reading)
            keep_up_to_date(opened, read, changes.wait(), make_progress())
        except KeyboardInterrupt:
            echo(f"{folder}: stopped; it holds all changes that were reported")


def keep_up_to_date(
    index: "Index", read: Callable[[], "CorpusReader"], changes: Iterable[bool], progress: Progress
) -> None:
    """Update an index at once and whenever something changed, and print a line for each change.

    What cannot be read is named once. An update that fails because of the corpus, such as a folder that holds no
    document, is named, and the next change leads to another one. While another process writes, it is tried again.

    Args:
        index: the index.
        read: returns the documents of the corpus.
        changes: says again and again whether something changed.
        progress: shows bars for the first update.

    Raises:
        HpdsearchError: the index cannot be changed.
    """
    is_pending = True
    was_locked = False
    named: set[str] = set()  # reasons why something was skipped
    for has_changed in changes:
        if not (has_changed or is_pending):
            continue
        try:
            report, skipped = update(index, read(), progress)
        except LockedError as error:
            is_pending = True
            if not was_locked:
                echo(f"{describe_time()}  {error}; trying again", err=True)
            was_locked = True
            continue
        except CorpusError as error:
            is_pending = was_locked = False
            echo(f"{describe_time()}  {error}", err=True)
            continue
        if progress is not SILENT or report.n_documents or report.n_deleted or report.n_relocated:
            echo(f"{describe_time()}  {describe_report(report)}")
        for reason in skipped:
            if reason not in named:
                echo(f"{describe_time()}  skipped {reason}", err=True)
        named = set(skipped)
        progress = SILENT
        is_pending = was_locked = False


def update(index: "Index", documents: "CorpusReader", progress: Progress) -> tuple["IngestReport", list[str]]:
    """Update an index; return the report, and the reasons why something was skipped."""
    from hpdsearch.corpus.scope import CorpusScope

    stats = documents.stats
    scope = CorpusScope(documents.paths, stats.locations_read, stats.locations_skipped)
    on_error = documents.on_error
    report = index.update(documents, under=scope, strict=documents.strict, on_error=on_error, progress=progress)
    return report, [*stats.skipped.reasons, *report.skipped.reasons]


def describe_report(report: "IngestReport") -> str:
    """Return the counts of an update on one line."""
    counts = {"indexed": report.n_documents, "deleted": report.n_deleted, "moved": report.n_relocated}
    changed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "up to date"
    return f"{changed}, {format_count(report.n_unchanged, 'document')} unchanged ({report.seconds:.1f} s)"


def describe_time() -> str:
    """Return the local time of the day."""
    return time.strftime("%H:%M:%S")
