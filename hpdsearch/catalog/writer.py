"""Change a catalog: all changes between `open` and `commit` are one transaction."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.catalog.filter_sql import flatten_metadata
from hpdsearch.catalog.reader import Catalog
from hpdsearch.catalog.schema import (
    APPLICATION_ID,
    FILE_NAME,
    FORMAT,
    SCHEMA,
    SEGMENT_COLUMNS,
    SQLITE_ERRORS,
    TABLES,
    RowPassage,
    SegmentEntry,
    connect,
    document_row,
    metadata_json,
    text_fingerprint,
    translate_error,
    vector_checksum,
)
from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.errors import IndexFolderError
from hpdsearch.records import Document, Passage

_METADATA = 4  # column of table documents


class CatalogWriter(Catalog):
    """Changes a catalog in one transaction, from `open` to `commit`; closing without commit changes nothing.

    The lock file of hpdsearch.indexer ensures that only one is open at a time.

    Attributes:
        committed: whether the catalog held a committed state when it was opened.
    """

    @classmethod
    def open(cls, folder: Path) -> "CatalogWriter":
        """Open the catalog of a folder for writing; create an empty one if there is none.

        Raises:
            IndexFolderError: the file cannot be written, belongs to another program, or has another format.
            CorruptIndexError: SQLite cannot read the file, or a checksum does not match.
        """
        path = folder / FILE_NAME
        catalog = cls(path, connect(path, create=True))
        try:
            catalog._check_format()  # before the first change: the file may belong to another program
            # On failure SQLite keeps the old mode and returns its name; readers would then lock writers out.
            if (mode := catalog._all("PRAGMA journal_mode = WAL")[0][0]) != "wal":
                raise IndexFolderError(
                    f"{path}: cannot be written with a write-ahead log (SQLite stays in mode {mode!r}); check the disk"
                )
            catalog._execute("PRAGMA synchronous = FULL")
            catalog._execute("BEGIN IMMEDIATE")
            catalog.committed = catalog._check_format()
        except BaseException:
            catalog.close()
            raise
        return catalog

    committed: bool
    _first_free_doc = 0

    def clear(self) -> None:
        """Replace all tables by empty ones; takes effect with the commit."""
        for table in TABLES:
            self._execute(f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA.split(";"):
            self._execute(statement)
        self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._execute(f"PRAGMA user_version = {FORMAT}")

    def set_meta(self, **values: Any) -> None:
        """Set settings of the index, each to a JSON value."""
        rows = [(key, json.dumps(value, sort_keys=True)) for key, value in values.items()]
        self._many("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def insert(self, documents: Sequence[tuple[Document, Sequence[Passage]]], first_row: int) -> None:
        """Insert documents and their passages; the passages get the rows from first_row on. All doc_ids must be new."""
        row = first_row
        next_doc = self.next_doc()
        stored: list[tuple[Any, ...]] = []
        spans: list[tuple[int, int, int, int]] = []
        attributes: list[tuple[Any, ...]] = []
        for doc, (document, passages) in enumerate(documents, start=next_doc):
            row_passages = tuple((row + i, passage.start, passage.end) for i, passage in enumerate(passages))
            row += len(row_passages)
            stored.append(document_row(doc, document, row_passages))
            spans += [(at, doc, start, end) for at, start, end in row_passages]
            # Parsed from the stored form, because JSON turns all keys into strings.
            metadata = parse_json(stored[-1][_METADATA])
            attributes += [(*attribute, doc) for attribute in flatten_metadata(metadata)]
        self._first_free_doc = next_doc + len(stored)
        self._many("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", stored)
        self._many("INSERT INTO passages VALUES (?, ?, ?, ?)", spans)
        self._many("INSERT INTO attributes VALUES (?, ?, ?, ?)", attributes)

    def find_same_text(self, document: Document) -> str | None:
        """Return the doc_id of a document with the same title and text; None: there is none."""
        sql = "SELECT doc_id FROM documents WHERE text_hash = ? AND text = ? AND title = ? LIMIT 1"
        found = self._all(sql, (text_fingerprint(document), document.text, document.title))
        return str(found[0][0]) if found else None

    def find_same_text_rows(self, document: Document, before: int) -> list[RowPassage]:
        """Return the passages, in rows < before, of a document with the same title and text, ascending; or none."""
        same = "SELECT doc FROM documents JOIN passages USING (doc) WHERE text_hash = ? AND text = ? AND title = ?"
        sql = f"SELECT row, start, end FROM passages WHERE doc = ({same} AND row < ? LIMIT 1) ORDER BY row"
        found = self._all(sql, (text_fingerprint(document), document.text, document.title, before))
        return [(row, start, end) for row, start, end in found]

    def lookup(self, document: Document) -> tuple[int, bool] | None:
        """Return the number of the document with this doc_id and whether it is stored unchanged; None: it is new."""
        sql = "SELECT doc, title, text, metadata, source FROM documents WHERE doc_id = ?"
        for doc, *stored in self._all(sql, (document.doc_id,)):
            return int(doc), stored == [document.title, document.text, metadata_json(document), document.source]
        return None

    def start_seen(self) -> None:
        """Begin to record which documents were seen, for `not_seen`."""
        self._execute("CREATE TEMP TABLE seen(doc INTEGER PRIMARY KEY)")

    def mark_seen(self, doc: int) -> bool:
        """Record a document by number; return False if it was recorded before."""
        return self._execute("INSERT OR IGNORE INTO seen VALUES (?)", (doc,)).rowcount == 1

    def not_seen(self, under: Sequence[str], before: int) -> list[int]:
        """Return the documents with numbers < before whose source is under these paths and that were not seen."""
        found: set[int] = set()
        for path in under:
            inside = [path.rstrip("/") + "/", path + ":"]
            sql = (
                "SELECT doc FROM documents WHERE doc < ? AND doc NOT IN (SELECT doc FROM seen) AND "
                "(source = ? OR substr(source, 1, ?) = ? OR substr(source, 1, ?) = ?)"
            )
            lengths = [value for prefix in inside for value in (len(prefix), prefix)]
            found.update(self._column(sql, before, path, *lengths).tolist())
        return sorted(found)

    def remove(self, docs: Sequence[int]) -> int:
        """Remove documents by number; their rows become tombstones. Return the number of rows."""
        n_rows = 0
        for stored in self.documents(docs).values():
            rows = [(row,) for row, _, _ in stored.passages]
            # No segment holds a buffered row, but the lexical index may.
            self._many("INSERT INTO tombstones SELECT ?1, -(?1 IN (SELECT row FROM waiting))", rows)
            self._many("DELETE FROM waiting WHERE row = ?", rows)
            self._many("DELETE FROM passages WHERE row = ?", rows)
            keys = [(field, text, stored.doc) for field, text, _ in flatten_metadata(stored.document.metadata)]
            self._many("DELETE FROM attributes WHERE field = ? AND text = ? AND doc = ?", keys)
            self._execute("DELETE FROM documents WHERE doc = ?", (stored.doc,))
            n_rows += len(rows)
        return n_rows

    def buffer_rows(self, rows: Rows, vectors: Stored) -> None:
        """Store the vectors (n, dim), float16, of new rows (n,) until a vectors file holds them."""
        stored = [(row, vector.tobytes()) for row, vector in zip(rows.tolist(), vectors, strict=True)]
        self._many("INSERT INTO waiting VALUES (?, ?, ?)", [(row, v, vector_checksum(row, v)) for row, v in stored])

    def clear_buffer(self) -> None:
        """Remove all buffered vectors, because a vectors file holds them."""
        self._execute("DELETE FROM waiting")

    def add_segment(self, entry: SegmentEntry) -> None:
        """Activate a segment; replace the one with the same number."""
        values = [*astuple(entry)[:-2], json.dumps(entry.spec), json.dumps(entry.operating_points)]
        places = ",".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO segments ({SEGMENT_COLUMNS}, block_sums) VALUES ({places}, x'')"
        self._execute(sql, values)

    def drop_segment(self, entry: SegmentEntry, live: Rows) -> None:
        """Deactivate a segment. No segment holds its tombstoned rows afterwards, apart from `live` ones."""
        self._execute("DELETE FROM segments WHERE segment = ?", (entry.segment,))
        tombstoned = np.setdiff1d(self.tombstones(entry.first_row, entry.end_row), live)
        rows = [(row,) for row in tombstoned.tolist()]
        # The lexical index may still hold rows that are not purged; `mark_purged` removes their tombstones.
        self._many("DELETE FROM tombstones WHERE row = ? AND purged = 1", rows)
        self._many("UPDATE tombstones SET purged = -1 WHERE row = ? AND purged = 0", rows)

    def next_doc(self) -> int:
        """Return the number of the next inserted document; no number is used twice between open and close."""
        after_last = int(self._all("SELECT coalesce(max(doc), -1) + 1 FROM documents")[0][0])
        self._first_free_doc = max(self._first_free_doc, after_last)
        return self._first_free_doc

    def next_row(self) -> int:
        """Return the first row after all segments."""
        return int(self._all("SELECT coalesce(max(end_row), 0) FROM segments")[0][0])

    def unpurged_rows(self) -> list[int]:
        """Return the deleted rows that the lexical index may still hold, ascending."""
        return [int(row) for row in self._column("SELECT row FROM tombstones WHERE purged <= 0 ORDER BY row")]

    def mark_purged(self, rows: Sequence[int]) -> None:
        """Record that the lexical index holds these deleted rows no longer."""
        self._many("DELETE FROM tombstones WHERE row = ? AND purged = -1", [(row,) for row in rows])
        self._many("UPDATE tombstones SET purged = 1 WHERE row = ?", [(row,) for row in rows])

    def commit(self) -> None:
        """Commit all changes durably."""
        self._execute("INSERT OR REPLACE INTO meta VALUES ('sum', ?)", (str(self._checksum()),))
        self._execute("COMMIT")

    def begin(self) -> None:
        """Begin another transaction after commit()."""
        self._execute("BEGIN IMMEDIATE")

    def vacuum(self) -> None:
        """Rewrite the file without free pages, outside of a transaction.

        Raises:
            IndexFolderError: the disk is full; the catalog is unchanged.
        """
        self._execute("PRAGMA busy_timeout = 0")  # a checkpoint would wait for every reader to close
        self._execute("VACUUM")
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except SQLITE_ERRORS as error:
            raise translate_error(self.path, error) from error
