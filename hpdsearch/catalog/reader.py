"""Read a catalog: one SQLite snapshot, kept until the catalog is closed."""

import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.catalog.connection import (
    SQLITE_ERRORS,
    FileState,
    connect_reader,
    require_unchanged,
    translate_error,
)
from hpdsearch.catalog.filter_check import Select, check_filter, field_names
from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_sql import flatten_metadata, register_functions, to_sql
from hpdsearch.catalog.forking import close_connection, open_catalog
from hpdsearch.catalog.schema import (
    APPLICATION_ID,
    FILE_NAME,
    FORMAT,
    SEGMENT_COLUMNS,
    TABLES,
    RowPassage,
    SegmentEntry,
    StoredDocument,
    document_checksum,
    locations_checksum,
    vector_checksum,
    xor_checksum,
)
from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.errors import RESTORE_CATALOG, CorruptIndexError, IndexFolderError, NothingCommittedError
from hpdsearch.records import Document

_MAX_PARAMETERS = 500  # of one statement
_LAST_ROW = 2**63 - 1


class Catalog:
    """One snapshot of a catalog, for reading; `CatalogWriter` changes it. Safe to share between threads.

    Attributes:
        path: the file.
        lock: held while SQLite is at work.
        is_inherited: a parent of this process opened the catalog before the fork; it cannot be read here.
    """

    format = FORMAT
    _writes = False

    def __init__(self, path: Path, connection: sqlite3.Connection, unlocked: FileState | None = None) -> None:
        """Take a connection, and the state of a file that it cannot lock."""
        self.path = path
        self._connection = connection
        self._unlocked = unlocked
        register_functions(connection)
        # Runs at garbage collection too.
        self._close = weakref.finalize(self, close_connection, path, connection, may_have_written=self._writes)
        self.lock = threading.RLock()
        self.is_inherited = False

    @classmethod
    def open(cls, folder: Path) -> "Catalog":
        """Open the last committed state.

        Raises:
            IndexFolderError: the folder holds no index, nothing committed, a foreign file, or another format.
            CorruptIndexError: SQLite cannot read the file, or a checksum does not match.
        """
        path = folder / FILE_NAME
        _require_file(folder, path)
        catalog = open_catalog(path, lambda: cls(path, *connect_reader(path)))
        try:
            catalog._execute("BEGIN")
            if not catalog._check_format():
                raise NothingCommittedError(
                    f"{folder}: nothing was committed here yet; run hpdsearch index again, unless it is still running"
                )
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        """Release the snapshot."""
        with self.lock:
            self._close()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._close.alive

    def leave_to_parent(self) -> None:
        """Give up the connection in a forked child, at once after the fork; nothing can be read afterwards.

        The locks that SQLite counts for it are the parent's. Closing lets connections that the child opens take their
        own ones.
        """
        self.lock = threading.RLock()
        self.is_inherited = self._close.alive
        self._close()

    def follow_commits(self) -> None:
        """Give up the snapshot: each read from now on sees the newest commit."""
        self._execute("COMMIT")

    def generation(self) -> int:
        """Return the number of committed transactions, at the cost of reading one row."""
        rows = self._all("SELECT value FROM meta WHERE key = 'generation'")
        return int(self._parse_json(rows[0][0])) if rows else 0

    def meta(self) -> dict[str, Any]:
        """Return the settings of the index: JSON values by key."""
        return {
            key: self._parse_json(value) for key, value in self._all("SELECT key, value FROM meta WHERE key <> 'sum'")
        }

    def segments(self) -> list[SegmentEntry]:
        """Return the active segments, ascending by first row."""
        rows = self._all(f"SELECT {SEGMENT_COLUMNS} FROM segments ORDER BY first_row")
        values = [(*row[:-2], self._parse_json(row[-2]), self._parse_json(row[-1])) for row in rows]
        return [SegmentEntry(*entry) for entry in values]

    def tombstones(self, first_row: int = 0, end_row: int = _LAST_ROW) -> Rows:
        """Return the deleted rows first_row <= row < end_row that a segment still holds: (n,), ascending."""
        sql = "SELECT row FROM tombstones WHERE row >= ? AND row < ? AND purged >= 0 ORDER BY row"
        return self._column(sql, first_row, end_row)

    def buffered_vectors(self) -> tuple[Rows, Stored]:
        """Return the buffered rows (n,), ascending, and their vectors (n, dim), float16.

        Raises:
            CorruptIndexError: a vector does not match its checksum.
        """
        found = self._all("SELECT row, vector, sum FROM waiting ORDER BY row")
        for row, vector, expected in found:
            if expected != vector_checksum(row, vector):
                raise CorruptIndexError(
                    f"{self.path}: the vector of row {row} does not match its checksum; {RESTORE_CATALOG}"
                )
        stored = np.frombuffer(b"".join(vector for _, vector, _ in found), "<f2")
        return np.array([row for row, _, _ in found], np.int64), stored.reshape(len(found), -1 if found else 0)

    def n_documents(self) -> int:
        """Count the documents."""
        return int(self._all("SELECT count(*) FROM documents")[0][0])

    def n_passages(self) -> int:
        """Count the passages of all documents."""
        return int(self._all("SELECT count(*) FROM passages")[0][0])

    def n_passages_between(self, blocks: Iterable[tuple[int, int]]) -> int:
        """Return the number of passages in these blocks of rows, each from a first row to an end row."""
        sql = "SELECT COUNT(*) FROM passages WHERE row >= ? AND row < ?"
        return sum(int(self._all(sql, block)[0][0]) for block in blocks)

    def fields(self) -> list[str]:
        """Return the names of the metadata fields that have a value, sorted."""
        return field_names(self._all)

    def frequent_values(self, field: str, n: int) -> list[tuple[str, int]]:
        """Return the n most frequent values of a metadata field, of at most 200 characters, with their numbers."""
        sql = (
            "SELECT text, count(*) AS n FROM attributes WHERE field = ? AND length(text) <= 200 GROUP BY text "
            "ORDER BY n DESC, text LIMIT ?"
        )
        return [(text, int(count)) for text, count in self._all(sql, (field, n))]

    def docs_of_rows(self, rows: Rows) -> dict[int, int]:
        """Return the document number by row, for the live rows among these."""
        return dict(self._all_in_chunks("SELECT row, doc FROM passages WHERE row IN ({})", rows.tolist()))

    def docs_by_row(self, docs: Sequence[int]) -> dict[int, int]:
        """Return the document of each row that holds a passage of one of these documents."""
        return dict(self._all_in_chunks("SELECT row, doc FROM passages WHERE doc IN ({})", docs))

    def doc_ids(self, docs: Sequence[int]) -> dict[int, str]:
        """Return the doc_id by document number."""
        return dict(self._all_in_chunks("SELECT doc, doc_id FROM documents WHERE doc IN ({})", docs))

    def passages_between(self, first_row: int, end_row: int) -> list[tuple[int, int, int, int]]:
        """Return (row, document number, start, end) of the passages in rows first_row <= row < end_row, ascending."""
        sql = "SELECT row, doc, start, end FROM passages WHERE row >= ? AND row < ? ORDER BY row"
        return [(row, doc, start, end) for row, doc, start, end in self._all(sql, (first_row, end_row))]

    def documents(self, docs: Sequence[int]) -> dict[int, StoredDocument]:
        """Return the existing documents among these numbers, by number; compare each with its checksum.

        Raises:
            CorruptIndexError: a document does not match its checksum.
        """
        spans: dict[int, list[RowPassage]] = {doc: [] for doc in docs}
        for doc, row, start, end in self._all_in_chunks(
            "SELECT doc, row, start, end FROM passages WHERE doc IN ({})", docs
        ):
            spans[doc].append((row, start, end))
        sql = "SELECT doc, doc_id, title, text, metadata, source, sum, text_hash FROM documents WHERE doc IN ({})"
        rows = list(self._all_in_chunks(sql, docs))
        locations = self._locations({row[0]: row[7] for row in rows}) if self._has_table("locations") else {}
        return {
            row[0]: self._verify_document(row[:7], tuple(sorted(spans[row[0]])), locations.get(row[0], ()))
            for row in rows
        }

    def _has_table(self, name: str) -> bool:
        return bool(self._all("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)))

    def _locations(self, text_hashes: dict[int, int]) -> dict[int, tuple[tuple[int, str], ...]]:
        """Return the locations of documents, by number, for those of the given texts that have some.

        Raises:
            CorruptIndexError: locations do not match their checksum.
        """
        found: dict[int, tuple[tuple[int, str], ...]] = {}
        sql = "SELECT doc, text_hash, labels, sum FROM locations WHERE doc IN ({})"
        for doc, text_hash, labels, expected in self._all_in_chunks(sql, list(text_hashes)):
            if not isinstance(labels, str) or locations_checksum(text_hash, labels) != expected:
                raise CorruptIndexError(
                    f"{self.path}: the locations of document {doc} do not match their checksum; {RESTORE_CATALOG}"
                )
            if text_hash == text_hashes[doc]:  # otherwise an earlier version has replaced the document
                found[doc] = tuple((start, label) for start, label in self._parse_json(labels))
        return found

    def all_documents(self, block: int = 1000) -> Iterator[StoredDocument]:
        """Yield all documents by number, in blocks; compares checksums as `documents` does."""
        last = -1
        while docs := self._column(
            "SELECT doc FROM documents WHERE doc > ? ORDER BY doc LIMIT ?", last, block
        ).tolist():
            yield from self.documents(docs).values()
            last = docs[-1]

    def doc_numbers(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the document number by doc_id, for the existing documents among these."""
        encodable = [doc_id for doc_id in doc_ids if _is_unicode(doc_id)]  # no catalog can hold the others
        return dict(self._all_in_chunks("SELECT doc_id, doc FROM documents WHERE doc_id IN ({})", encodable))

    def stored_sources(self, doc_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return document number and source by doc_id, for the existing documents among these."""
        sql = "SELECT doc_id, doc, source FROM documents WHERE doc_id IN ({})"
        return {doc_id: (doc, source) for doc_id, doc, source in self._all_in_chunks(sql, doc_ids)}

    def rows_where(self, where: str) -> Rows:
        """Return the rows of all documents that match a filter: (n,), ascending.

        Raises:
            FilterError: the filter cannot be parsed, names a field that no document has, or can never match.
        """
        return self.rows_meeting(*compile_filter(where, self._all))

    def rows_meeting(self, condition: str, parameters: Sequence[Any]) -> Rows:
        """Return the rows (n,), ascending, of the documents that meet a condition of `compile_filter`."""
        sql = f"SELECT row FROM passages WHERE doc IN (SELECT doc FROM documents WHERE {condition}) ORDER BY row"
        return self._column(sql, *parameters)

    def count_where(self, where: str) -> int:
        """Count the documents that match a filter. Raises FilterError as `rows_where` does."""
        return self.count_meeting(*compile_filter(where, self._all))

    def count_meeting(self, condition: str, parameters: Sequence[Any]) -> int:
        """Count the documents that meet a condition of `compile_filter`."""
        return int(self._all(f"SELECT count(*) FROM documents WHERE {condition}", parameters)[0][0])

    @property
    def select(self) -> Select:
        """The function that reads rows by SQL."""
        return self._all

    def find_problems(self) -> list[str]:
        """Return a line for each problem that SQLite's integrity check and a recount of the attributes find."""
        try:
            return self._check_integrity()
        except CorruptIndexError as error:
            return [str(error)]

    def _check_integrity(self) -> list[str]:
        found = [str(row[0]) for row in self._all("PRAGMA integrity_check(20)") if row[0] != "ok"]
        if found:
            return [f"{self.path}: {problem}" for problem in found]
        orphans = self._all("SELECT count(*) FROM passages WHERE doc NOT IN (SELECT doc FROM documents)")[0][0]
        if orphans:
            found.append(f"{self.path}: {orphans} passages belong to no document")
        expected = 0
        for doc, metadata in self._each("SELECT doc, metadata FROM documents"):
            expected ^= xor_checksum((*attribute, doc) for attribute in flatten_metadata(self._parse_json(metadata)))
        stored = xor_checksum(self._each("SELECT field, text, number, doc FROM attributes"))
        if expected != stored:
            found.append(f"{self.path}: the attributes that filters use do not match the documents' metadata")
        return found

    def _verify_document(
        self, row: tuple[Any, ...], passages: tuple[RowPassage, ...], locations: tuple[tuple[int, str], ...]
    ) -> StoredDocument:
        doc, doc_id, title, text, metadata, source, expected = row
        if [*map(type, row[1:6])] != [str] * 5 or expected != document_checksum(
            doc_id, title, text, metadata, source, passages
        ):
            raise CorruptIndexError(f"{self.path}: document {doc_id!r} does not match its checksum; {RESTORE_CATALOG}")
        return StoredDocument(
            doc, Document(doc_id, text, title, self._parse_json(metadata), source, locations), passages
        )

    def _check_format(self) -> bool:
        """Tell whether anything is committed.

        Raises:
            IndexFolderError: the file belongs to another program or has another format.
            CorruptIndexError: tables are missing, or the checksum of settings and segments does not match.
        """
        application = self._all("PRAGMA application_id")[0][0]
        found = self._all("PRAGMA user_version")[0][0]
        if application not in (0, APPLICATION_ID):
            raise IndexFolderError(f"{self.path}: is a database of another program; choose another folder")
        tables = {name for (name,) in self._all("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if application == 0:
            if tables:
                raise IndexFolderError(f"{self.path}: is a database of another program; choose another folder")
            return False
        if found != FORMAT:
            advice = "a newer hpdsearch wrote it: upgrade" if found > FORMAT else "index again into another folder"
            raise IndexFolderError(f"{self.path}: expected format {FORMAT}, got {found}; {advice}")
        if missing := set(TABLES) - tables:
            raise CorruptIndexError(f"{self.path}: the tables {sorted(missing)} are missing; {RESTORE_CATALOG}")
        stored = self._all("SELECT value FROM meta WHERE key = 'sum'")
        if not stored or stored[0][0] != str(self._checksum()):
            raise CorruptIndexError(
                f"{self.path}: its settings or segments do not match their checksum; {RESTORE_CATALOG}"
            )
        return True

    def _checksum(self) -> int:
        """Return the 64-bit checksum of the settings and segments."""
        return xor_checksum(self._all("SELECT key, value FROM meta WHERE key <> 'sum'")) ^ xor_checksum(
            self._all("SELECT * FROM segments")
        )

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        with self.lock:
            try:
                return self._connection.execute(sql, parameters)
            except SQLITE_ERRORS as error:
                raise translate_error(self.path, error) from error

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.lock:
            try:
                rows = self._connection.execute(sql, parameters).fetchall()
            except SQLITE_ERRORS as error:
                self._require_unchanged()
                raise translate_error(self.path, error) from error
            self._require_unchanged()
            return rows

    def _require_unchanged(self) -> None:
        if self._unlocked is not None:
            require_unchanged(self.path, self._unlocked)

    def _each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield rows one at a time, without the lock: only for `find_problems` and for writers."""
        with closing(self._execute(sql, parameters)) as cursor:
            try:
                yield from cursor
            except SQLITE_ERRORS as error:
                self._require_unchanged()
                raise translate_error(self.path, error) from error
        self._require_unchanged()

    def _parse_json(self, text: Any) -> Any:
        try:
            return parse_json(text)
        except (ValueError, TypeError) as error:
            raise CorruptIndexError(f"{self.path}: expected JSON, got {text!r:.80}; {RESTORE_CATALOG}") from error

    def _column(self, sql: str, *parameters: Any) -> Rows:
        return np.array([value for (value,) in self._all(sql, parameters)], np.int64)

    def _all_in_chunks(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _MAX_PARAMETERS):
            chunk = values[start : start + _MAX_PARAMETERS]
            found += self._all(sql.format(",".join("?" * len(chunk))), chunk)
        return found


def compile_filter(where: str, select: Select) -> tuple[str, list[Any]]:
    """Return the SQL condition on a row of the table documents, and its parameters, that a filter stands for.

    Raises:
        FilterError: the filter cannot be parsed, names a field that no document has, or can never match.
    """
    return to_sql(check_filter(where, parse_filter(where), select))


def _require_file(folder: Path, path: Path) -> None:
    """Check that a folder holds a catalog."""
    try:
        if not folder.is_dir():
            raise IndexFolderError(
                f"{folder}: there is no such folder; make one with: hpdsearch index CORPUS -o {folder}"
            )
        if not path.is_file():
            raise IndexFolderError(f"{folder}: this is not an hpdsearch index (it holds no {FILE_NAME})")
    except OSError as error:
        raise IndexFolderError(f"{folder}: cannot be opened ({error.strerror}); check its permissions") from error


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no lone surrogate, as Python makes one from a byte that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
