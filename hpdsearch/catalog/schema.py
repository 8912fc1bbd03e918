"""The catalog's tables and the checksums over their rows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from hpdsearch.records import Document

FILE_NAME = "catalog.sqlite"
FORMAT = 2  # docs/index-format.md
APPLICATION_ID = 0x68706473  # "hpds": tells our catalogs from other SQLite files

# The column block_sums held checksums in format 1; it is always empty, and stays because it is part of format 2.
SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents(
    doc INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL,
    metadata TEXT NOT NULL, source TEXT NOT NULL, text_hash INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE INDEX documents_by_text ON documents(text_hash);
CREATE TABLE passages(row INTEGER PRIMARY KEY, doc INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL);
CREATE INDEX passages_by_doc ON passages(doc);
CREATE TABLE attributes(
    field TEXT, text TEXT, number REAL, doc INTEGER, PRIMARY KEY (field, text, doc)) WITHOUT ROWID;
CREATE INDEX attributes_by_number ON attributes(field, number) WHERE number IS NOT NULL;
CREATE TABLE tombstones(row INTEGER PRIMARY KEY, purged INTEGER NOT NULL DEFAULT 0);

CREATE TABLE waiting(row INTEGER PRIMARY KEY, vector BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE segments(
    segment INTEGER PRIMARY KEY, first_row INTEGER NOT NULL, end_row INTEGER NOT NULL, n_rows INTEGER NOT NULL,
    row_map BLOB NOT NULL,
    vectors_file TEXT NOT NULL, vectors_bytes INTEGER NOT NULL, vectors_sha256 TEXT NOT NULL, block_sums BLOB NOT NULL,
    index_file TEXT NOT NULL, index_bytes INTEGER NOT NULL, index_sha256 TEXT NOT NULL,
    spec TEXT NOT NULL, curve TEXT NOT NULL);
"""
# Made on demand: documents that their files hold, and that `delete` removed or `add` replaced (docs/index-format.md).
WITHDRAWN = """
CREATE TABLE IF NOT EXISTS withdrawn(
    place TEXT NOT NULL, doc_id TEXT NOT NULL, content INTEGER NOT NULL, PRIMARY KEY (place, doc_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS withdrawn_by_doc_id ON withdrawn(doc_id);
"""
# Made on demand: where the parts of a document's text begin (docs/index-format.md). Earlier versions of format 2 do not
# read it, and may leave rows of documents that they have replaced; those have another text_hash.
LOCATIONS = """
CREATE TABLE IF NOT EXISTS locations(
    doc INTEGER PRIMARY KEY, text_hash INTEGER NOT NULL, labels TEXT NOT NULL, sum INTEGER NOT NULL);
"""
# Made on demand: the state in which a file was read as a document (docs/index-format.md). Earlier versions of format 2
# do not read it, and may leave rows of documents that they have replaced; those have another text_hash.
FILES = """
CREATE TABLE IF NOT EXISTS files(
    doc INTEGER PRIMARY KEY, text_hash INTEGER NOT NULL, location TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, content INTEGER NOT NULL, reading TEXT NOT NULL);
"""
NO_METADATA = "{}"
TABLES = ("meta", "documents", "passages", "attributes", "tombstones", "segments", "waiting")
SEGMENT_COLUMNS = (  # in the order of SegmentEntry's fields
    "segment, first_row, end_row, n_rows, row_map, vectors_file, vectors_bytes, vectors_sha256, "
    "index_file, index_bytes, index_sha256, spec, curve"
)

RowPassage: TypeAlias = tuple[int, int, int]  # row, start, end


@dataclass(frozen=True)
class SegmentEntry:
    """One active segment: its rows, its two files with size and checksum, its spec and its operating points.

    Attributes:
        segment: the segment's unique number.
        first_row: first row of the span that holds the segment's n_rows rows.
        end_row: the row after the span's last one.
        n_rows: rows that the segment holds.
        row_map: which rows of the span these are, as hpdsearch.dense.RowMap stores them; empty: all of them.
        vectors_file: name of the vectors file.
        vectors_bytes: its size.
        vectors_sha256: its sha256, in hexadecimal.
        index_file: name of the faiss index file.
        index_bytes: its size.
        index_sha256: its sha256, in hexadecimal.
        spec: hpdsearch.dense.IndexSpec as JSON values.
        operating_points: hpdsearch.dense.OperatingPoints as JSON values; None: they were not measured.
    """

    segment: int
    first_row: int
    end_row: int
    n_rows: int
    row_map: bytes
    vectors_file: str
    vectors_bytes: int
    vectors_sha256: str
    index_file: str
    index_bytes: int
    index_sha256: str
    spec: dict[str, Any]
    operating_points: dict[str, Any] | None


@dataclass(frozen=True)
class StoredDocument:
    """A document, its number in the catalog, and its passages, ascending by row."""

    doc: int
    document: Document
    passages: tuple[RowPassage, ...]


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was read as a document.

    Attributes:
        location: the file (hpdsearch.corpus.locations).
        size: in bytes.
        modified: time of its last change, in nanoseconds since 1970.
        content: 64 bits that are equal for equal bytes; 0: unknown.
        reading: says how it was read (CorpusReader.reading).
    """

    location: str
    size: int
    modified: int
    content: int
    reading: str


@dataclass(frozen=True, slots=True)
class WithdrawnDocument:
    """A document that its file holds and the index does not, because `delete` removed it or `add` replaced it.

    Attributes:
        place: the source, for a document without an id of its own; otherwise the file.
        doc_id: the doc_id that it had.
        content: `content_fingerprint` of the document.
    """

    place: str
    doc_id: str
    content: int


def document_row(doc: int, document: Document, passages: tuple[RowPassage, ...]) -> tuple[Any, ...]:
    """Return the row of table documents.

    Raises:
        TypeError: the metadata hold a value that JSON does not know.
        ValueError: the metadata hold NaN or infinity.
    """
    metadata = metadata_json(document)
    fields = (document.doc_id, document.title, document.text, metadata, document.source)
    return doc, *fields, text_fingerprint(document), document_checksum(*fields, passages)


def metadata_json(document: Document) -> str:
    """Return the metadata as the catalog stores them."""
    if document.metadata == {}:
        return NO_METADATA
    return json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)


def text_fingerprint(document: Document) -> int:
    """Return 64 bits that are equal for equal titles and texts."""
    return hash64(document.title, document.text)


def document_checksum(
    doc_id: str, title: str, text: str, metadata: str, source: str, passages: tuple[RowPassage, ...]
) -> int:
    """Return the 64-bit checksum over everything that the catalog stores of one document."""
    return hash64(doc_id, title, text, metadata, source, repr(passages))


def locations_row(doc: int, document: Document) -> tuple[int, int, str, int]:
    """Return the row of table locations."""
    labels = json.dumps(document.locations, ensure_ascii=False, separators=(",", ":"))
    text_hash = text_fingerprint(document)
    return doc, text_hash, labels, locations_checksum(text_hash, labels)


def locations_checksum(text_hash: int, labels: str) -> int:
    """Return the 64-bit checksum over a row of table locations, without the number of the document."""
    return hash64(str(text_hash), labels)


def vector_checksum(row: int, vector: bytes) -> int:
    """Return the 64-bit checksum over a buffered row and the bytes of its vector."""
    return hash64(str(row), vector)


def hash64(*parts: str | bytes) -> int:
    """Return 64 bits of blake2b over the length and the bytes of each part, as SQLite's signed integer."""
    digest = blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "little", signed=True)


def xor_checksum(rows: Iterable[tuple[Any, ...]]) -> int:
    """Return a 64-bit checksum of a set of rows that does not depend on their order."""
    result = 0
    for row in rows:
        result ^= hash64(repr(row))
    return result
