"""The documents of one file or stream, and the check of the first ones."""

import codecs
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO

from hpdsearch.corpus.extraction import Extractor
from hpdsearch.corpus.extraction.extractor import require_documents_extra
from hpdsearch.corpus.file_fields import add_file_fields
from hpdsearch.corpus.formats import LINE_READERS
from hpdsearch.corpus.lines import Decoding, SourceLocation, open_stream, read_text_lines, read_text_pieces
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.pages import decode_html, read_page
from hpdsearch.corpus.parquet import read_parquet
from hpdsearch.corpus.sources import HTML_ENDINGS, Source, SourceType, hash_content
from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

CHECKED_RECORDS = 20
CHECKED_SIZE = 1 << 16  # bytes of HTML, characters of other text


TextReader = Callable[[IO[bytes], SourceLocation, Decoding], Iterator[str]]


class CheckedEnough(Exception):  # noqa: N818  (it is no error)
    """A check has read as much of a file as it may."""


def read_source(
    source: Source, options: ReadOptions, stats: ReadStats, stdin: IO[bytes] | None, extractor: Extractor
) -> Iterator[Document]:
    """Read the documents of one file or of standard input."""
    location = SourceLocation(source.name)
    if source.kind is SourceType.PARQUET:
        yield from read_parquet(source, location, options, stats)
        return
    if source.kind is SourceType.DOCUMENT:
        yield from read_extracted(source, options, stats, extractor)
        return
    raw = (stdin or sys.stdin.buffer) if source.path is None else source.path
    with open_stream(raw, location, compressed=source.is_gzip) as (file, position):
        stats.position = position
        try:
            if source.kind is SourceType.PAGE:
                yield read_page(file, source, location, options)
            else:
                read_text = choose_text_reader(source)
                lines = read_text(file, location, options.decoding)
                yield from LINE_READERS[source.line_format](lines, location, options, stats)
        finally:
            stats.position = None


def read_extracted(source: Source, options: ReadOptions, stats: ReadStats, extractor: Extractor) -> Iterator[Document]:
    """Read the document of a PDF, Office file and the like, or the messages of a mailbox; each has its number.

    Raises:
        CorpusError: the file cannot be extracted.
    """
    assert source.path is not None
    try:
        if source.is_one_document and source.size <= options.limits.file_bytes:
            source.content = hash_content(source.path)  # before it is read: it may change meanwhile
        for number, found in enumerate(extractor.extract(source.path, source.name, source.ending), start=1):
            where = source.name if source.is_one_document else f"{source.name}:{number}"
            if found.problem:
                stats.skipped.add_or_raise(CorpusError(f"{where}: {found.problem}"), options.on_error)
                continue
            doc_id = source.doc_id if source.is_one_document else where
            text = found.text if found.text.strip() else found.title
            metadata = add_file_fields(found.metadata, source, options) if source.is_one_document else found.metadata
            yield Document(doc_id, text, found.title, metadata, where, tuple(found.locations))
    except OSError as error:
        raise CorpusError(f"{source.name}: cannot be read: {error.strerror or error}") from error


def choose_text_reader(source: Source) -> TextReader:
    """Return the function that reads the text of a file with records."""
    return read_text_pieces if source.line_format is LineFormat.JSON else read_text_lines


def check_source(source: Source, options: ReadOptions) -> None:
    """Check that a file can be opened and decoded, and that its first records are as expected.

    The first 20 records are read, but not more than 64 KiB and the line or value in which they end. A stream is not
    checked, because it can be read only once; nor are documents that are extracted, and source code, because they never
    stop the reading.

    Raises:
        CorpusError: something is not as expected.
        MissingExtraError: the library that extracts the file is not installed.
    """
    if source.kind is SourceType.DOCUMENT:
        require_documents_extra(source.ending)
    if source.may_be_bad:
        return
    if source.is_stream or is_utf8_page(source, options):
        return
    try:
        deque(islice(read_beginning(source, options), CHECKED_RECORDS), maxlen=0)
    except CheckedEnough:
        return


def is_utf8_page(source: Source, options: ReadOptions) -> bool:
    """Return whether the beginning of a page is UTF-8, which suffices for pages but HTML.

    A folder may hold a million pages, and this takes a quarter of the time of the other check, which words the errors.
    """
    if source.kind is not SourceType.PAGE or source.ending in HTML_ENDINGS or source.is_gzip or options.encoding:
        return False
    assert source.path is not None
    try:
        with source.path.open("rb", buffering=0) as file:
            raw = file.read(CHECKED_SIZE)
        text, _ = codecs.utf_8_decode(raw, "strict", len(raw) < CHECKED_SIZE)
    except (OSError, UnicodeDecodeError):
        return False
    return "\0" not in text


def read_beginning(source: Source, options: ReadOptions) -> Iterator[object]:
    """Read a file as `read_source` does, and raise CheckedEnough when enough of its text was read."""
    location = SourceLocation(source.name)
    stats = ReadStats()
    if source.kind is SourceType.PARQUET:
        yield from read_parquet(source, location, options, stats)
        return
    assert source.path is not None
    with open_stream(source.path, location, compressed=source.is_gzip) as (file, _):
        if source.kind is SourceType.LINES:
            lines = choose_text_reader(source)(file, location, options.decoding)
            yield from LINE_READERS[source.line_format](limit_text(lines), location, options, stats)
        elif source.ending in HTML_ENDINGS:
            raw = file.read(CHECKED_SIZE)
            decode_html(raw, source.name, options.encoding, is_cut=len(raw) == CHECKED_SIZE)
        else:
            deque(limit_text(read_text_pieces(file, location, options.decoding)), maxlen=0)


def limit_text(parts: Iterator[str]) -> Iterator[str]:
    """Yield parts of a text; raise CheckedEnough when CHECKED_SIZE characters were passed on."""
    n_characters = 0
    for part in parts:
        yield part
        n_characters += len(part)
        if n_characters >= CHECKED_SIZE:
            raise CheckedEnough
