"""What the catalog's tables are, how a connection to them is made, and the sums that tell whether they are whole."""

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from hpdsearch.errors import CorruptIndexError, IndexFolderError
from hpdsearch.records import Document

FILE_NAME = "catalog.sqlite"
FORMAT = 2  # docs/index-format.md
READABLE = (1, 2)
APPLICATION_ID = 0x68706473  # "hpds": tells our catalogs from other SQLite files
RESTORE = "restore it, or index again into another folder"
CACHE_KIB = 65_536

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
"""
SEGMENTS = """
CREATE TABLE waiting(row INTEGER PRIMARY KEY, vector BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE segments(
    segment INTEGER PRIMARY KEY, first_row INTEGER NOT NULL, end_row INTEGER NOT NULL, n_rows INTEGER NOT NULL,
    row_map BLOB NOT NULL,
    vectors_file TEXT NOT NULL, vectors_bytes INTEGER NOT NULL, vectors_sha256 TEXT NOT NULL, block_sums BLOB NOT NULL,
    index_file TEXT NOT NULL, index_bytes INTEGER NOT NULL, index_sha256 TEXT NOT NULL,
    spec TEXT NOT NULL, curve TEXT NOT NULL);
"""
# What format 1 stored of a segment, as the columns of format 2.
SEGMENTS_OF_FORMAT_1 = """SELECT segment, first_row, first_row + n_rows, n_rows, x'', vectors_file, vectors_bytes,
    vectors_sha256, block_sums, index_file, index_bytes, index_sha256, spec, 'null' FROM segments"""
WAITING = "waiting"  # a table that format 1 did not have
TABLES = ("meta", "documents", "passages", "attributes", "tombstones", "segments")

# The second one where SQLite quotes, in the message of an error, a name of the schema that is no UTF-8 any more.
SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)

RowPassage: TypeAlias = tuple[int, int, int]  # row, start, end


@dataclass(frozen=True)
class SegmentEntry:
    """One segment in force: its rows, its two files with size and sum, its spec and curve as JSON values.

    Attributes:
        segment: a number of its own.
        first_row: its n_rows rows lie from here up to, not including, end_row.
        row_map: which rows of this span they are (hpdsearch.dense.RowMap); empty: all.
        block_sums: sums of the vectors file where format 1 kept them; else empty.
        curve: recall and latency measured when the index file was built; None: not measured.
    """

    segment: int
    first_row: int
    end_row: int
    n_rows: int
    row_map: bytes
    vectors_file: str
    vectors_bytes: int
    vectors_sha256: str
    block_sums: bytes
    index_file: str
    index_bytes: int
    index_sha256: str
    spec: dict[str, Any]
    curve: dict[str, Any] | None


@dataclass(frozen=True)
class StoredDocument:
    """A document with its place in the catalog: its number and its passages by row."""

    doc: int
    document: Document
    passages: tuple[RowPassage, ...]


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Connect; a folder that cannot be written to is read as it lies.

    Raises:
        IndexFolderError: it cannot be opened, or not without losing what was committed last.
        CorruptIndexError: it is no database.
    """
    if create:
        return _connection(path, "mode=rwc", CACHE_KIB)
    try:
        return _connection(path, "mode=rw", CACHE_KIB // 8)
    except CorruptIndexError:
        raise
    except IndexFolderError:
        wal = path.with_name(path.name + "-wal")
        if os.access(path.parent, os.W_OK):
            raise
        if wal.exists() and wal.stat().st_size:
            raise IndexFolderError(
                f"{path}: the last changes lie in {wal.name}, which cannot be read where nothing can be written; "
                "open the index once in a folder that can be written to"
            ) from None
        return _connection(path, "immutable=1", CACHE_KIB // 8)


def _connection(path: Path, parameters: str, cache_kib: int) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{parameters}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    except SQLITE_ERRORS as error:
        raise readable_error(path, error) from error
    return connection


# How SQLite's messages begin (sqlite3ErrStr); others quote what was read, so that any word may stand in them.
_MEANINGS = {
    "database is locked": "is locked by another program ({}); try again",
    "database table is locked": "is locked by another program ({}); try again",
    "database or disk is full": "cannot be written ({}); make room, nothing was changed",
    "disk I/O error": "cannot be read or written ({}); check the disk",
    "attempt to write a readonly database": "cannot be written ({}); choose a folder that you may write to",
    "unable to open database file": "cannot be opened ({}); check who may read and write it",
    "Cannot operate on a closed database": "was closed; open the index again",
}


def readable_error(path: Path, error: Exception) -> IndexFolderError:
    """Say what an error of SQLite means to the user."""
    for beginning, meaning in _MEANINGS.items():
        if str(error).startswith(beginning):
            return IndexFolderError(f"{path}: {meaning.format(error)}")
    return CorruptIndexError(f"{path}: SQLite cannot read it ({error}); {RESTORE}")


def stored_row(doc: int, document: Document, passages: tuple[RowPassage, ...]) -> tuple[Any, ...]:
    """Return the row of table documents; metadata that is no JSON raises TypeError or ValueError."""
    metadata = metadata_json(document)
    fields = (document.doc_id, document.title, document.text, metadata, document.source)
    return doc, *fields, text_fingerprint(document), document_checksum(*fields, passages)


def metadata_json(document: Document) -> str:
    """Return the metadata as they are stored."""
    return json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)


def text_fingerprint(document: Document) -> int:
    """Return 64 bits that equal texts under equal titles share."""
    return _hash64(document.title, document.text)


def document_checksum(
    doc_id: str, title: str, text: str, metadata: str, source: str, passages: tuple[RowPassage, ...]
) -> int:
    """Return 64 bits over all that the catalog stores of one document."""
    return _hash64(doc_id, title, text, metadata, source, repr(passages))


def vector_checksum(row: int, vector: bytes) -> int:
    """Return 64 bits over a row that waits and the bytes of its vector."""
    return _hash64(str(row), vector)


def _hash64(*parts: str | bytes) -> int:
    """64 bits of blake2b over the parts and their lengths, as SQLite's signed integer."""
    digest = blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "little", signed=True)


def xor_checksum(rows: Iterable[tuple[Any, ...]]) -> int:
    """Hash of a set of rows that does not depend on their order."""
    result = 0
    for row in rows:
        result ^= _hash64(repr(row))
    return result
