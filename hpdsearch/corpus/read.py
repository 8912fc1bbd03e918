"""Paths -> documents: the corpus as one stream, whatever its files are."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import IO

from hpdsearch.corpus.formats import LINE_READERS
from hpdsearch.corpus.lines import Place, opened, text_lines
from hpdsearch.corpus.options import Fields, LineFormat, ReadStats
from hpdsearch.corpus.pages import read_page
from hpdsearch.corpus.parquet import read_parquet, require_pyarrow
from hpdsearch.corpus.sources import STDIN, Source, SourceType, find_sources
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

DEFAULT_FIELDS = Fields()
StrPath = str | os.PathLike[str]


def read_corpus(
    paths: StrPath | Iterable[StrPath],
    *,
    fields: Fields = DEFAULT_FIELDS,
    strict: bool = False,
    stats: ReadStats | None = None,
    stdin: IO[bytes] | None = None,
    stdin_format: LineFormat = LineFormat.TXT,
) -> Iterator[Document]:
    """Read the documents of files and folders, one at a time, in the order given.

    Paths are looked up at once; contents are read as the documents are consumed.

    - Files: `.txt` (a document a line), `.jsonl`, `.csv`, `.tsv`, `.parquet`; `.md .rst .html .htm` (one document each,
      named by its path). All but .parquet also as `.gz`.
    - A folder is read recursively, sorted by path: `.txt .md .rst .html .htm`, also as `.gz`, are one document each,
      named by the path inside the folder.
    - "-" is standard input.

    A document with neither text nor title is skipped and counted. doc_ids are not checked for being unique.

    Args:
        paths: one path or several.
        fields: which fields of JSON, CSV and Parquet records hold id, text and title.
        strict: treat an empty document as an error.
        stats: counted along while the documents are consumed.
        stdin: read for "-"; None: the process's standard input.
        stdin_format: how the lines of standard input hold documents.

    Raises:
        CorpusError: a path that is missing or of an unknown kind (at once); contents that are not as expected, or no
            document at all (while the documents are consumed).
        MissingExtraError: a `.parquet` file without pyarrow (at once).
    """
    names = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not names:
        raise CorpusError('expected at least one file, folder or "-", got none')
    stats = ReadStats() if stats is None else stats
    sources = [source for name in names for source in find_sources(name, stdin_format, stats)]
    if any(source.kind is SourceType.PARQUET for source in sources):
        require_pyarrow()
    stats.bytes_total = None if any(source.path is None for source in sources) else sum(s.size for s in sources)
    return documents_of(names, sources, fields, strict, stats, stdin)


def documents_of(
    names: list[str], sources: list[Source], fields: Fields, strict: bool, stats: ReadStats, stdin: IO[bytes] | None
) -> Iterator[Document]:
    """Read one source after the other, skipping empty documents; refuse a corpus that has no others."""
    n_documents = n_empty = 0
    for source in sources:
        for document in read_source(source, fields, stats, stdin):
            text = document.text
            if not text or text.isspace():
                if strict:
                    raise CorpusError(f"{document.source}: expected a text, got an empty document")
                n_empty += 1
                stats.n_empty += 1
                continue
            n_documents += 1
            stats.n_documents += 1
            yield document
        stats.bytes_before += source.size
    if n_documents == 0:
        raise CorpusError(f"{', '.join(names)}: expected documents, got {what_came_instead(n_empty, stats)}")


def read_source(source: Source, fields: Fields, stats: ReadStats, stdin: IO[bytes] | None) -> Iterator[Document]:
    """Read the documents of one file or of standard input."""
    place = Place(source.name)
    if source.kind is SourceType.PARQUET:
        yield from read_parquet(source, place, fields, stats)
        return
    raw = (stdin or sys.stdin.buffer) if source.path is None else source.path
    with opened(raw, place, compressed=source.is_gzip) as (file, position):
        stats.position = position
        try:
            if source.kind is SourceType.PAGE:
                yield read_page(file, source, place)
            else:
                yield from LINE_READERS[source.line_format](text_lines(file, place), place, fields)
        finally:
            stats.position = None


def what_came_instead(n_empty: int, stats: ReadStats) -> str:
    """Say why there is no document."""
    if n_empty:
        return f"only empty ones ({n_empty})"
    if stats.other_files:
        others = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in stats.other_files.most_common(5))
        return f"none; a folder's .txt .md .rst .html .htm files are read, not its other files ({others})"
    return f"none ({STDIN} or the files are empty)"
