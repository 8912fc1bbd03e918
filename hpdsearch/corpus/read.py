"""The documents of files and folders as one stream, in the order of the paths."""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from inspect import GEN_CREATED, getgeneratorstate
from typing import IO

from hpdsearch.corpus.extraction import Extractor
from hpdsearch.corpus.locations import STDIN
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.parquet import require_pyarrow
from hpdsearch.corpus.read_source import check_source, read_source
from hpdsearch.corpus.skipping import OnError
from hpdsearch.corpus.sources import Source, SourceType, find_sources
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

DEFAULT_OPTIONS = ReadOptions()
JSON_FORMATS = (LineFormat.JSON, LineFormat.JSONL)
StrPath = str | os.PathLike[str]
READERS_VERSION = 1  # raise it when a reader of files that are one document yields something else than before


class CorpusReader:
    """Iterates once over the documents of a corpus. The length hint becomes more exact as they are read.

    Attributes:
        paths: the files and folders, as the user named them.
        files: the regular files that are read, those of folders too.
        strict: whether an empty document is an error.
        on_error: what a record or file that cannot be read does.
        stats: counters that are updated while the documents are consumed.
        sources: what is read, by location.
        reading: a text that is equal if equal files are read as equal documents.
        started_ns: time before the files were found, in nanoseconds since 1970.
    """

    def __init__(
        self,
        paths: tuple[str, ...],
        sources: dict[str, Source],
        documents: Generator[Document, None, None],
        stats: ReadStats,
        strict: bool,
        options: ReadOptions,
        started_ns: int,
    ) -> None:
        """Use `read_corpus`."""
        self.files = [source.path for source in sources.values() if source.path is not None and not source.is_stream]
        self.sources = sources
        self.reading = repr((READERS_VERSION, options.columns, options.exclude_columns, options.encoding))
        self.started_ns = started_ns
        self.paths = paths
        self.strict = strict
        self.on_error = options.on_error
        self.stats = stats
        self._documents = documents

    def __iter__(self) -> Iterator[Document]:
        return self._documents

    def __next__(self) -> Document:
        return next(self._documents)

    @property
    def is_begun(self) -> bool:
        """Whether a document was consumed."""
        return getgeneratorstate(self._documents) != GEN_CREATED

    def leave_out(self, location: str) -> None:
        """Do not read a file, because its document is known; before the first document is consumed."""
        source = self.sources.pop(location)
        self.stats.locations_read.add(location)
        self.stats.n_left_out += 1
        if self.stats.bytes_total is not None:
            self.stats.bytes_total -= source.size

    def __length_hint__(self) -> int:
        """Estimate the number of documents from the share of bytes read so far; 0 if it is unknown."""
        stats = self.stats
        if not stats.bytes_total or not stats.bytes_read:
            return 0
        return max(stats.n_documents, round(stats.n_documents * stats.bytes_total / stats.bytes_read))


def read_corpus(
    paths: StrPath | Iterable[StrPath],
    options: ReadOptions = DEFAULT_OPTIONS,
    *,
    strict: bool = False,
    keep_empty: bool = False,
    stats: ReadStats | None = None,
    stdin: IO[bytes] | None = None,
    check: bool = True,
) -> CorpusReader:
    """Read the documents of files and folders, one at a time, in the order of the paths.

    Paths, and the first records of every file, are checked at once; contents are read as the documents are consumed.

    - Files: `.txt` (one document per line), `.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet`; `.md .rst .html
      .htm` (each one document, named by its path). All but .parquet also as `.gz`.
    - `.pdf .docx .pptx .xlsx .odt .epub .eml .ipynb`, and files of source code, are one document each; a `.mbox` has a
      document for each message. A document that cannot be extracted is left out, and `stats.skipped` names it.
    - A folder is read recursively, sorted by path: `.txt .md .rst .html .htm` and source code, also as `.gz`, and the
      documents are one document each, named by the path inside the folder.
    - "-" is standard input.

    A document without text and title is skipped and counted. doc_ids may repeat; the caller checks them.

    Args:
        paths: one path or several.
        options: how the files are read. With `on_error=OnError.SKIP`, what cannot be read is left out and named in
            `stats.skipped`, and nothing is checked at once.
        strict: raise an error for an empty document instead of skipping it; not with SKIP.
        keep_empty: yield empty documents too, so that the n-th document is the n-th record.
        stats: counters to update while the documents are consumed.
        stdin: stream of bytes that "-" stands for; None: the process's standard input.
        check: check the first records of every file at once; False: when the first document is consumed, so that files
            that `Index.update` need not read are not even opened.

    Raises:
        CorpusError: at once: a path is missing or of an unknown type, or the beginning of a file is not as expected.
            While documents are consumed: contents are not as expected, or there is no document at all.
        MissingExtraError: at once: the library that reads a `.parquet` file or a document is not installed.
    """
    names = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not names:
        raise CorpusError('expected at least one file, folder or "-", got none')
    if strict and options.on_error is OnError.SKIP:
        raise CorpusError("--strict and --on-error skip: expected one of them, got both")
    stats = ReadStats() if stats is None else stats
    started_ns = time.time_ns()
    found = find_sources(names, options, stats)
    if any(source.kind is SourceType.PARQUET for source in found):
        require_pyarrow()
    if check:
        check_sources(found, options)
    stats.bytes_total = None if any(source.is_stream for source in found) else sum(s.size for s in found)
    sources = {source.location: source for source in found}
    documents = read_documents(names, sources, options, strict, keep_empty, stats, stdin, check=not check)
    return CorpusReader(tuple(names), sources, documents, stats, strict, options, started_ns)


def check_sources(sources: Iterable[Source], options: ReadOptions) -> None:
    """Check files as `check_source` does, unless errors are skipped."""
    if options.on_error is OnError.STOP:
        for source in sources:
            check_source(source, options)


def read_documents(
    names: list[str],
    sources: Mapping[str, Source],
    options: ReadOptions,
    strict: bool,
    keep_empty: bool,
    stats: ReadStats,
    stdin: IO[bytes] | None,
    *,
    check: bool,
) -> Generator[Document, None, None]:
    """Read one source after the other, as `read_with` does, and end the process that extracts documents.

    The sources are those at the time of the first document; with `check`, they are checked then.
    """
    if check:
        check_sources(sources.values(), options)
    with Extractor(options.limits) as extractor:
        yield from read_with(extractor, names, list(sources.values()), options, strict, keep_empty, stats, stdin)


def read_with(
    extractor: Extractor,
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
        for document in read_or_skip(source, options, stats, stdin, extractor, stops=strict or keep_empty):
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
    if n_documents == 0 and not stats.n_left_out and not (keep_empty and n_empty):
        raise CorpusError(f"{', '.join(names)}: expected documents, got {describe_missing(n_empty, stats)}")


def read_or_skip(
    source: Source,
    options: ReadOptions,
    stats: ReadStats,
    stdin: IO[bytes] | None,
    extractor: Extractor,
    *,
    stops: bool,
) -> Iterator[Document]:
    """Read a source; with SKIP, an error ends it and is reported, and the source counts as one that is incomplete.

    Documents that cannot be extracted, and source code, are skipped without SKIP too, unless `stops`.
    """
    if source.may_be_bad and not stops:
        options = replace(options, on_error=OnError.SKIP)
    n_skipped = stats.skipped.count
    n_before = stats.n_documents + stats.n_empty
    try:
        yield from read_source(source, options, stats, stdin, extractor)
    except CorpusError as error:
        if stats.n_documents + stats.n_empty > n_before and options.on_error is OnError.SKIP:
            error = CorpusError(f"{error} (the rest of the file is skipped)")
        stats.skipped.add_or_raise(error, options.on_error)
    if stats.skipped.count > n_skipped:
        stats.locations_skipped.add(source.location)


def locate(document: Document, source: Source) -> Document:
    """Return a document with its location as the source; a reader names the file as the user wrote it."""
    line = document.source[len(source.name) :]
    doc_id = source.doc_id + line if document.doc_id == document.source else document.doc_id
    return replace(document, doc_id=doc_id, source=source.location + line)


def require_columns_seen(names: list[str], options: ReadOptions, stats: ReadStats) -> None:
    """Check that some JSON object had each field of `columns` and `exclude_columns`; tables are checked at once.

    Raises:
        CorpusError: a field is in none of them, and errors stop.
    """
    for option, wanted in (("--columns", options.columns), ("--exclude-columns", options.exclude_columns)):
        for name in wanted:
            if name not in stats.columns_seen:
                missing = f'{", ".join(names)}: expected a field "{name}" ({option}), got no record with it'
                stats.skipped.add_or_raise(CorpusError(missing), options.on_error)


def describe_missing(n_empty: int, stats: ReadStats) -> str:
    """Describe, for a message, what was found instead of documents."""
    if stats.skipped.count:
        return f"only what cannot be read ({stats.skipped.count:,} skipped); the first: {stats.skipped.reasons[0]}"
    if n_empty:
        return f"only empty ones ({n_empty})"
    if stats.other_files:
        others = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in stats.other_files.most_common(5))
        return f"none; a folder's texts, pages, documents and source code are read, not its other files ({others})"
    return f"none; the files, the folder or {STDIN} are empty, or hold only a header"
