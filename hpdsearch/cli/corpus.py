"""The corpus of a command line: its options and its documents."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.index_argument import INDEXES
from hpdsearch.cli.parameters import Command, EnumChoice, apply_options, expand_home, read_delimiter, read_names

if TYPE_CHECKING:
    from hpdsearch.records import Document

_ENDINGS = {".gz", ".txt", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".md", ".rst", ".html", ".htm"}


def corpus_options(command: Command) -> Command:
    """Add the options that say how a corpus is read; `Corpus` takes them."""
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
        click.option("--strict", is_flag=True, help="Fail on empty, split and duplicate documents."),
    )


class Corpus:
    """The documents of a command line. The length hint becomes more exact as they are read.

    Args:
        paths: files, folders, or "-".
        strict: raise an error for an empty document.
        reading: the other options of `corpus_options`.
    """

    def __init__(self, paths: tuple[str, ...], *, strict: bool, **reading: Any) -> None:
        from hpdsearch.corpus import Fields, ReadOptions, ReadStats, read_corpus

        fields = Fields(**{name: reading.pop(name) for name in ("id_field", "text_field", "title_field")})
        self.paths = tuple(map(expand_home, paths))
        self.strict = strict
        self.stats: ReadStats = ReadStats()
        self._documents = read_corpus(self.paths, ReadOptions(fields, **reading), strict=strict, stats=self.stats)

    def __iter__(self) -> "Iterator[Document]":
        return self._documents

    def __length_hint__(self) -> int:
        """Estimate the number of documents from the share of bytes read so far; 0 if it is unknown."""
        stats = self.stats
        if not stats.bytes_total or not stats.bytes_read:
            return 0
        return max(stats.n_documents, round(stats.n_documents * stats.bytes_total / stats.bytes_read))


def choose_folder(corpus: str) -> Path:
    """Return indexes/NAME for the first corpus of a command line: corpus.jsonl.gz -> indexes/corpus."""
    from hpdsearch.corpus.locations import STDIN, STREAM_NAME

    if corpus == "-" or STREAM_NAME.fullmatch(corpus):
        return INDEXES / STDIN
    path = Path(os.path.realpath(expand_home(corpus)))  # Path.resolve fails for a link to itself
    while path.suffix.lower() in _ENDINGS and path.stem:
        path = path.with_suffix("")
    return INDEXES / (path.name or "root")
