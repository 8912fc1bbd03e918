"""The documents of files and folders as one stream, in the order of the paths."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import IO

from hpdsearch.corpus.formats import LINE_READERS
from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines, read_text_pieces
from hpdsearch.corpus.locations import STDIN
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.pages import read_page
from hpdsearch.corpus.parquet import read_parquet, require_pyarrow
from hpdsearch.corpus.sources import Source, SourceType, find_sources
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

DEFAULT_OPTIONS = ReadOptions()
JSON_FORMATS = (LineFormat.JSON, LineFormat.JSONL)
StrPath = str | os.PathLike[str]


def read_corpus(
    paths: StrPath | Iterable[StrPath],
    options: ReadOptions = DEFAULT_OPTIONS,
    *,
    strict: bool = False,
    keep_empty: bool = False,
    stats: ReadStats | None = None,
    stdin: IO[bytes] | None = None,
) -> Iterator[Document]:
    """Read the documents of files and folders, one at a time, in the order of the paths.

    Paths are checked at once; contents are read as the documents are consumed.

    - Files: `.txt` (one document per line), `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet`; `.md .rst .html
      .htm` (each one document, named by its path). All but .parquet also as `.gz`.
    - A folder is read recursively, sorted by path: `.txt .md .rst .html .htm`, also as `.gz`, are one document each,
      named by the path inside the folder.
    - "-" is standard input.

    A document without text and title is skipped and counted. doc_ids may repeat; the caller checks them.

    Args:
        paths: one path or several.
        options: how the files are read.
        strict: raise an error for an empty document instead of skipping it.
        keep_empty: yield empty documents too, so that the n-th document is the n-th record.
        stats: counters to update while the documents are consumed.
        stdin: stream of bytes that "-" stands for; None: the process's standard input.

    Raises:
        CorpusError: at once: a path is missing or of an unknown type. While documents are consumed: the contents are
            not as expected, or there is no document at all.
        MissingExtraError: at once: a `.parquet` file is to be read and pyarrow is not installed.
    """
    names = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not names:
        raise CorpusError('expected at least one file, folder or "-", got none')
    stats = ReadStats() if stats is None else stats
    sources = find_sources(names, options.stdin_format, stats)
    if any(source.kind is SourceType.PARQUET for source in sources):
        require_pyarrow()
    stats.bytes_total = None if any(source.is_stream for source in sources) else sum(s.size for s in sources)
    return read_documents(names, sources, options, strict, keep_empty, stats, stdin)


def read_documents(
    names: list[str],
    sources: list[Source],
    options: ReadOptions,
    strict: bool,
    keep_empty: bool,
    stats: ReadStats,
    stdin: IO[bytes] | None,
) -> Iterator[Document]:
    """Read one source after the other and skip empty documents, unless they are kept.

    Raises:
        CorpusError: every document is empty, or one of them in strict mode.
    """
    n_documents = 0
    n_empty = 0
    for source in sources:
        for document in read_source(source, options, stats, stdin):
            text = document.text
            if not text or text.isspace():
                if strict:
                    raise CorpusError(f"{document.source}: expected a text, got an empty document")
                n_empty += 1
                stats.n_empty += 1
                if not keep_empty:
                    continue
            n_documents += 1
            stats.n_documents += 1
            yield locate(document, source)
        stats.locations_read.add(source.location)
        stats.bytes_before += source.size
    if any(source.kind is SourceType.LINES and source.line_format in JSON_FORMATS for source in sources):
        require_columns_seen(names, options, stats)
    if n_documents == 0 and not (keep_empty and n_empty):
        raise CorpusError(f"{', '.join(names)}: expected documents, got {describe_missing(n_empty, stats)}")


def read_source(source: Source, options: ReadOptions, stats: ReadStats, stdin: IO[bytes] | None) -> Iterator[Document]:
    """Read the documents of one file or of standard input."""
    location = SourceLocation(source.name)
    if source.kind is SourceType.PARQUET:
        yield from read_parquet(source, location, options, stats)
        return
    raw = (stdin or sys.stdin.buffer) if source.path is None else source.path
    with open_stream(raw, location, compressed=source.is_gzip) as (file, position):
        stats.position = position
        try:
            if source.kind is SourceType.PAGE:
                yield read_page(file, source, location)
            else:
                read_text = read_text_pieces if source.line_format is LineFormat.JSON else read_text_lines
                yield from LINE_READERS[source.line_format](read_text(file, location), location, options, stats)
        finally:
            stats.position = None


def locate(document: Document, source: Source) -> Document:
    """Return a document with its location as the source; a reader names the file as the user wrote it."""
    line = document.source[len(source.name) :]
    doc_id = source.doc_id + line if document.doc_id == document.source else document.doc_id
    return Document(doc_id, document.text, document.title, document.metadata, source.location + line)


def require_columns_seen(names: list[str], options: ReadOptions, stats: ReadStats) -> None:
    """Check that some JSON object had each field of `columns` and `exclude_columns`; tables are checked at once.

    Raises:
        CorpusError: a field is in none of them.
    """
    for name in (*options.columns, *options.exclude_columns):
        if name not in stats.columns_seen:
            raise CorpusError(f'{", ".join(names)}: expected a field "{name}" (--columns), got no record with it')


def describe_missing(n_empty: int, stats: ReadStats) -> str:
    """Describe, for a message, what was found instead of documents."""
    if n_empty:
        return f"only empty ones ({n_empty})"
    if stats.other_files:
        others = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in stats.other_files.most_common(5))
        return f"none; a folder's .txt .md .rst .html .htm files are read, not its other files ({others})"
    return f"none; the files, the folder or {STDIN} are empty, or hold only a header"
