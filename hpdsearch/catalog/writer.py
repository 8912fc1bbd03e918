"""Changing a catalog: everything in one transaction, from open to commit."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpdsearch.catalog.filters import flatten_metadata
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
from hpdsearch.errors import IndexFolderError
from hpdsearch.records import Document, Passage

_METADATA = 4  # its place in a row of documents


class CatalogWriter(Catalog):
    """Changes a catalog in one transaction, from `open` to `commit`; closing without commit changes nothing.

    Only one may be open at a time; the engine's lock file sees to it.
    """

    @classmethod
    def open(cls, folder: Path) -> "CatalogWriter":
        """Open the catalog of a folder for writing; an empty one is made where there is none."""
        path = folder / FILE_NAME
        catalog = cls(path, connect(path, create=True))
        try:
            catalog._check_format()  # before the first change: it may be another program's
            # SQLite keeps the old mode where it fails, and says so; readers would then lock writers out.
            if (mode := catalog._all("PRAGMA journal_mode = WAL")[0][0]) != "wal":
                raise IndexFolderError(
                    f"{path}: cannot be written with a log beside it (SQLite stays at {mode!r}); check the disk"
                )
            catalog._execute("PRAGMA synchronous = FULL")
            catalog._execute("BEGIN IMMEDIATE")
            catalog.committed = catalog._check_format()
        except BaseException:
            catalog.close()
            raise
        return catalog

    committed: bool  # whether anything was in force when it was opened
    _first_free_doc = 0

    def clear(self) -> None:
        """Make an empty catalog: what was in it goes when this is committed."""
        for table in TABLES:
            self._execute(f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA.split(";"):
            self._execute(statement)
        self._execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._execute(f"PRAGMA user_version = {FORMAT}")

    def set_meta(self, **values: Any) -> None:
        """Set index-wide settings."""
        rows = [(key, json.dumps(value, sort_keys=True)) for key, value in values.items()]
        self._many("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def insert(self, documents: Sequence[tuple[Document, Sequence[Passage]]], first_row: int) -> None:
        """Insert documents with their passages, which get the rows from first_row on; no doc_id may be there yet."""
        row, next_doc = first_row, self.next_doc()
        stored, spans, attributes = [], [], []
        for doc, (document, passages) in enumerate(documents, start=next_doc):
            placed = tuple((row + i, passage.start, passage.end) for i, passage in enumerate(passages))
            row += len(placed)
            stored.append(document_row(doc, document, placed))
            spans += [(at, doc, start, end) for at, start, end in placed]
            # Of the metadata as stored: JSON makes strings of all keys.
            metadata = json.loads(stored[-1][_METADATA])
            attributes += [(*attribute, doc) for attribute in flatten_metadata(metadata)]
        self._first_free_doc = next_doc + len(stored)
        self._many("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", stored)
        self._many("INSERT INTO passages VALUES (?, ?, ?, ?)", spans)
        self._many("INSERT INTO attributes VALUES (?, ?, ?, ?)", attributes)

    def find_same_text(self, document: Document) -> str | None:
        """Return the doc_id of a document with the same title and text, if there is one."""
        sql = "SELECT doc_id FROM documents WHERE text_hash = ? AND text = ? AND title = ? LIMIT 1"
        found = self._all(sql, (text_fingerprint(document), document.text, document.title))
        return str(found[0][0]) if found else None

    def find_same_text_rows(self, document: Document, before: int) -> list[RowPassage]:
        """Return the passages, in rows < before, of a document with the same title and text; empty: there is none."""
        same = "SELECT doc FROM documents JOIN passages USING (doc) WHERE text_hash = ? AND text = ? AND title = ?"
        sql = f"SELECT row, start, end FROM passages WHERE doc = ({same} AND row < ? LIMIT 1) ORDER BY row"
        found = self._all(sql, (text_fingerprint(document), document.text, document.title, before))
        return [(row, start, end) for row, start, end in found]

    def lookup(self, document: Document) -> tuple[int, bool] | None:
        """Return the number of the document with this doc_id, and whether it is stored exactly as this one."""
        sql = "SELECT doc, title, text, metadata, source FROM documents WHERE doc_id = ?"
        for doc, *stored in self._all(sql, (document.doc_id,)):
            return int(doc), stored == [document.title, document.text, metadata_json(document), document.source]
        return None

    def start_seen(self) -> None:
        """Begin to note which documents were seen, for `unseen`."""
        self._execute("CREATE TEMP TABLE seen(doc INTEGER PRIMARY KEY)")

    def mark_seen(self, doc: int) -> bool:
        """Note a document by number; False: it was noted before."""
        return self._execute("INSERT OR IGNORE INTO seen VALUES (?)", (doc,)).rowcount == 1

    def not_seen(self, under: Sequence[str], before: int) -> list[int]:
        """Return the documents numbered < before that were read under these paths and were not seen."""
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
        """Remove documents by number; their rows become tombstones. Return the count of rows."""
        n_rows = 0
        for stored in self.documents(docs).values():
            rows = [(row,) for row, _, _ in stored.passages]
            # A row that waits is in no segment, but the lexical index may hold it.
            self._many("INSERT INTO tombstones SELECT ?1, -(?1 IN (SELECT row FROM waiting))", rows)
            self._many("DELETE FROM waiting WHERE row = ?", rows)
            self._many("DELETE FROM passages WHERE row = ?", rows)
            keys = [(field, text, stored.doc) for field, text, _ in flatten_metadata(stored.document.metadata)]
            self._many("DELETE FROM attributes WHERE field = ? AND text = ? AND doc = ?", keys)
            self._execute("DELETE FROM documents WHERE doc = ?", (stored.doc,))
            n_rows += len(rows)
        return n_rows

    def buffer_rows(self, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]) -> None:
        """Keep the vectors (n, dim) of new rows (n,) until they are written to a file."""
        stored = [(row, vector.tobytes()) for row, vector in zip(rows.tolist(), vectors, strict=True)]
        self._many("INSERT INTO waiting VALUES (?, ?, ?)", [(row, v, vector_checksum(row, v)) for row, v in stored])

    def clear_buffer(self) -> None:
        """Forget the vectors that waited: they lie in a file now."""
        self._execute("DELETE FROM waiting")

    def add_segment(self, entry: SegmentEntry) -> None:
        """Bring a segment into force, in place of the one with its number if there is one."""
        values = [*astuple(entry)[:-2], json.dumps(entry.spec), json.dumps(entry.operating_points)]
        places = ",".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO segments ({SEGMENT_COLUMNS}, block_sums) VALUES ({places}, x'')"
        self._execute(sql, values)

    def drop_segment(self, entry: SegmentEntry, live: npt.NDArray[np.int64]) -> None:
        """Take a segment out of force; its rows other than `live` are held by none from now on."""
        self._execute("DELETE FROM segments WHERE segment = ?", (entry.segment,))
        dead = np.setdiff1d(self.tombstones(entry.first_row, entry.end_row), live)
        rows = [(row,) for row in dead.tolist()]
        # The lexical index may still hold those that are not purged: the tombstone goes when it is.
        self._many("DELETE FROM tombstones WHERE row = ? AND purged = 1", rows)
        self._many("UPDATE tombstones SET purged = -1 WHERE row = ? AND purged = 0", rows)

    def next_doc(self) -> int:
        """Return the number that the next inserted document gets; none is given out twice between open and close."""
        after_last = int(self._all("SELECT coalesce(max(doc), -1) + 1 FROM documents")[0][0])
        self._first_free_doc = max(self._first_free_doc, after_last)
        return self._first_free_doc

    def next_row(self) -> int:
        """Return the first row that no segment holds."""
        return int(self._all("SELECT coalesce(max(end_row), 0) FROM segments")[0][0])

    def unpurged_rows(self) -> list[int]:
        """Return the tombstones that the lexical index may still hold."""
        return [int(row) for row in self._column("SELECT row FROM tombstones WHERE purged <= 0 ORDER BY row")]

    def mark_purged(self, rows: Sequence[int]) -> None:
        """Note that the lexical index does not hold these tombstones any more."""
        self._many("DELETE FROM tombstones WHERE row = ? AND purged = -1", [(row,) for row in rows])
        self._many("UPDATE tombstones SET purged = 1 WHERE row = ?", [(row,) for row in rows])

    def commit(self) -> None:
        """Bring every change into force, durably."""
        self._execute("INSERT OR REPLACE INTO meta VALUES ('sum', ?)", (str(self._sum()),))
        self._execute("COMMIT")

    def begin(self) -> None:
        """Begin another transaction after commit()."""
        self._execute("BEGIN IMMEDIATE")

    def vacuum(self) -> None:
        """Rewrite the file without what was deleted, outside of a transaction.

        Raises:
            IndexFolderError: there is no room for it; the catalog is as it was.
        """
        self._execute("PRAGMA busy_timeout = 0")  # a checkpoint would wait for every reader to close
        self._execute("VACUUM")
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except SQLITE_ERRORS as error:
            raise translate_error(self.path, error) from error
