"""The corpus of a command line: its options and its documents."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.index_argument import INDEXES
from hpdsearch.cli.output import echo
from hpdsearch.cli.parameters import (
    Command,
    EnumChoice,
    apply_options,
    expand_home,
    read_delimiter,
    read_encoding,
    read_names,
)

if TYPE_CHECKING:
    from hpdsearch.corpus import CorpusReader, ReadOptions, Skipped

SHOWN_REASONS = 20


def corpus_options(command: Command, *, on_error: str = "stop") -> Command:
    """Add the options that say how a corpus is read, for `open_corpus`; `on_error` is the default of --on-error."""
    return apply_options(
        command,
        click.option(
            "--id-field",
            metavar="NAME",
            show_default="id or _id, else FILE:LINE",
            help="Read the document's id from this field.",
        ),
        click.option(
            "--text-field",
            metavar="NAME",
            default="text",
            help="Read the text from this field. Dots lead into nested fields: body.text.",
        ),
        click.option("--title-field", metavar="NAME", default="title", help="Read the title from this field."),
        click.option(
            "--columns",
            type=read_names,
            metavar="NAME,...",
            default="",
            show_default="all",
            help="Store only these other fields as metadata.",
        ),
        click.option(
            "--exclude-columns",
            type=read_names,
            metavar="NAME,...",
            default="",
            show_default="none",
            help="Do not read these fields, for example an embedding.",
        ),
        click.option(
            "--delimiter",
            type=read_delimiter,
            metavar="CHARACTER",
            show_default="comma in .csv, tab in .tsv",
            help="Split the rows of .csv and .tsv files at this character.",
        ),
        click.option(
            "--quoting/--no-quoting",
            default=None,
            show_default="quoting in .csv, no quoting in .tsv",
            help="Let quotes enclose cells, or take quotes as they are.",
        ),
        click.option(
            "--no-types",
            "typed",
            flag_value=False,
            default=True,
            show_default="numbers, true, false and blanks are typed",
            help="Keep all cells of .csv and .tsv files as strings.",
        ),
        click.option(
            "--stdin-format",
            type=EnumChoice("hpdsearch.corpus", "LineFormat"),
            default="txt",
            help="Read standard input (-), and pipes whose names have no ending, in this format.",
        ),
        click.option(
            "--encoding",
            type=read_encoding,
            metavar="NAME",
            show_default="UTF-8, and what a page of HTML declares",
            help="Decode files by this encoding, such as latin-1 or cp1252. A byte order mark comes first.",
        ),
        click.option(
            "--include",
            multiple=True,
            metavar="PATTERN",
            show_default="all",
            help="Read only the files of a folder that match a pattern as in .gitignore, such as '*.md'. Repeatable.",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="PATTERN",
            show_default="none",
            help="Leave out files and folders that match a pattern as in .gitignore: node_modules/. Repeatable.",
        ),
        click.option(
            "--on-error",
            type=EnumChoice("hpdsearch.corpus", "OnError"),
            default=on_error,
            help="Stop at a record or file that cannot be read, or skip it and name it on stderr.",
        ),
        click.option("--strict", is_flag=True, help="Fail on empty, split and duplicate documents."),
    )


def open_corpus(
    paths: tuple[str, ...],
    *,
    strict: bool,
    keep_empty: bool = False,
    check: bool = True,
    shows_skipped: bool = True,
    **reading: Any,
) -> "CorpusReader":
    """Return the documents of a command line.

    Args:
        paths: files, folders, or "-".
        strict: raise an error for an empty document.
        keep_empty: do not skip empty documents.
        check: as in `read_corpus`.
        shows_skipped: print what was skipped when the command ends.
        reading: the other options of `corpus_options`.
    """
    from hpdsearch.corpus import OnError, ReadStats, read_corpus

    options = take_read_options(strict, reading)
    stats = ReadStats()
    if shows_skipped:
        was_asked = reading["on_error"] is OnError.SKIP
        click.get_current_context().call_on_close(lambda: print_skipped(stats.skipped, was_asked))
    names = tuple(map(expand_home, paths))
    return read_corpus(names, options, strict=strict, keep_empty=keep_empty, stats=stats, check=check)


def take_read_options(strict: bool, reading: dict[str, Any]) -> "ReadOptions":
    """Return the options of `corpus_options` as one value."""
    from hpdsearch.corpus import Fields, OnError, ReadOptions

    if strict and reading["on_error"] is OnError.SKIP:
        raise click.UsageError("--strict and --on-error skip contradict each other")
    fields = Fields(**{name: reading.pop(name) for name in ("id_field", "text_field", "title_field")})
    return ReadOptions(fields, **reading)


def print_skipped(skipped: "Skipped", was_asked: bool = True) -> None:
    """Print on stderr how much was skipped, and the reasons of the first ones; `was_asked`: by --on-error skip."""
    if not skipped.count:
        return
    echo(f"skipped:    {skipped.count:,}{' (--on-error skip)' if was_asked else ''}", err=True)
    for reason in skipped.reasons[:SHOWN_REASONS]:
        echo(f"  {reason}", err=True)
    if skipped.count > SHOWN_REASONS:
        echo(f"  ... and {skipped.count - SHOWN_REASONS:,} more", err=True)


def choose_folder(corpus: str) -> Path:
    """Return indexes/NAME for the first corpus of a command line: corpus.jsonl.gz -> indexes/corpus."""
    from hpdsearch.corpus.locations import STDIN, STREAM_NAME
    from hpdsearch.corpus.sources import FOLDER_ENDINGS, LINE_ENDINGS, PARQUET_ENDING

    if corpus == "-" or STREAM_NAME.fullmatch(corpus):
        return INDEXES / STDIN
    path = Path(os.path.realpath(expand_home(corpus)))  # Path.resolve fails for a link to itself
    endings = {".gz", PARQUET_ENDING, *LINE_ENDINGS, *FOLDER_ENDINGS}
    while path.suffix.lower() in endings and path.stem:
        path = path.with_suffix("")
    return INDEXES / (path.name or "root")
