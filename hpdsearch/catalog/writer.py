"""Change a catalog: all changes between `open` and `commit` are one transaction."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.catalog.connection import SQLITE_ERRORS, connect_writer, translate_error
from hpdsearch.catalog.file_metadata import follow_source, has_same_metadata
from hpdsearch.catalog.filter_sql import flatten_metadata
from hpdsearch.catalog.forking import open_catalog, refuse_after_fork
from hpdsearch.catalog.reader import Catalog
from hpdsearch.catalog.schema import (
    APPLICATION_ID,
    FILE_NAME,
    FILES,
    FORMAT,
    LOCATIONS,
    NO_METADATA,
    SCHEMA,
    SEGMENT_COLUMNS,
    TABLES,
    WITHDRAWN,
    FileState,
    RowPassage,
    SegmentEntry,
    WithdrawnDocument,
    document_row,
    locations_row,
    text_fingerprint,
    vector_checksum,
)
from hpdsearch.common.files import parse_json
from hpdsearch.common.forks import keep_forever
from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.errors import IndexFolderError
from hpdsearch.records import Document, Passage

_METADATA = 4  # column of table documents
MAX_SAME_TEXTS = 20  # documents of the same text among which one of the same locations is looked for


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
        catalog = open_catalog(path, lambda: cls(path, connect_writer(path)))
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
    _writes = True
    _first_free_doc = 0

    def leave_to_parent(self) -> None:
        """Keep the connection of the parent's transaction unused: closing would take back its changes."""
        self.lock = threading.RLock()
        if self._close.alive:
            keep_forever(self._connection)
            self._close.detach()
            self.is_inherited = True
            refuse_after_fork(self.path)

    def clear(self) -> None:
        """Replace all tables by empty ones; takes effect with the commit."""
        for table in (*TABLES, "withdrawn", "locations", "files"):
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
            if stored[-1][_METADATA] != NO_METADATA:
                # Parsed from the stored form, because JSON turns all keys into strings.
                metadata = parse_json(stored[-1][_METADATA])
                attributes += [(*attribute, doc) for attribute in flatten_metadata(metadata)]
        self._first_free_doc = next_doc + len(stored)
        self._many("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", stored)
        self._many("INSERT INTO passages VALUES (?, ?, ?, ?)", spans)
        self._many("INSERT INTO attributes VALUES (?, ?, ?, ?)", attributes)
        located = [
            locations_row(doc, document) for doc, (document, _) in enumerate(documents, next_doc) if document.locations
        ]
        if located:
            self._execute(LOCATIONS)
            self._many("INSERT OR REPLACE INTO locations VALUES (?, ?, ?, ?)", located)

    def find_same_texts(self, documents: Sequence[Document]) -> dict[tuple[str, str], str]:
        """Return a doc_id by title and text, for those of these documents whose title and text are stored."""
        wanted = {(document.title, document.text) for document in documents}
        sql = "SELECT title, text, doc_id FROM documents WHERE text_hash IN ({})"
        found = self._all_in_chunks(sql, [text_fingerprint(document) for document in documents])
        return {(title, text): doc_id for title, text, doc_id in found if (title, text) in wanted}

    def find_same_text_rows(self, document: Document, before: int) -> list[RowPassage]:
        """Return the passages, in rows < before, of a document with the same title, text and locations, ascending."""
        text_hash = text_fingerprint(document)
        sql = (
            "SELECT DISTINCT doc FROM documents JOIN passages USING (doc) "
            f"WHERE text_hash = ? AND text = ? AND title = ? AND row < ? LIMIT {MAX_SAME_TEXTS}"
        )
        found = self._all(sql, (text_hash, document.text, document.title, before))
        docs = [doc for (doc,) in found]
        if docs and self._has_table("locations"):  # the headings among them are encoded with the passages
            stored = self._locations(dict.fromkeys(docs, text_hash))
            docs = [doc for doc in docs if stored.get(doc, ()) == document.locations]
        elif document.locations:
            docs = []
        if not docs:
            return []
        sql = "SELECT row, start, end FROM passages WHERE doc = ? ORDER BY row"
        return [(row, start, end) for row, start, end in self._all(sql, (docs[0],))]

    def lookup(self, document: Document) -> tuple[int, str, bool] | None:
        """Look up the document with this doc_id; None: it is new.

        Returns:
            its number, its source, and whether title, text, locations and metadata are the same.
        """
        sql = "SELECT doc, source, title, text, metadata FROM documents WHERE doc_id = ?"
        for doc, source, title, text, metadata in self._all(sql, (document.doc_id,)):
            is_same = (title, text) == (document.title, document.text) and has_same_metadata(metadata, source, document)
            if is_same and self._has_table("locations"):
                stored = self._locations({doc: text_fingerprint(document)})
                is_same = stored.get(doc, ()) == document.locations
            elif document.locations:
                is_same = False
            return int(doc), str(source), is_same
        return None

    def sources_by_stem(self, stems: Sequence[str], location: str, *, has_lines: bool) -> dict[str, str]:
        """Return a stored source by stem, for those of these stems that are in use.

        Args:
            stems: doc_ids of files.
            location: where a stem holds lines of several files, a line of this file is returned.
            has_lines: look for documents `stem:LINE` instead of `stem`.
        """
        if not has_lines:
            return {doc_id: source for doc_id, (_, source) in self.stored_sources(stems).items()}
        lines = "SELECT source FROM documents WHERE doc_id >= ?1 || ':' AND doc_id < ?1 || ';'"  # ";" follows ":"
        found: dict[str, str] = {}
        for stem in stems:
            own = self._all(
                f"{lines} AND substr(source, 1, ?2) = ?3 LIMIT 1", (stem, len(location) + 1, location + ":")
            )
            for (source,) in own or self._all(f"{lines} LIMIT 1", (stem,)):
                found[stem] = str(source)
        return found

    def has_stream(self) -> bool:
        """Return whether a document comes from standard input; reads all sources."""
        return bool(self._all("SELECT EXISTS (SELECT 1 FROM documents WHERE substr(source, 1, 6) = 'stdin:')")[0][0])

    def relocate(self, sources: Mapping[int, str]) -> None:
        """Change the sources of documents, by number, and the name and folder of their files; all else stays."""
        changed: list[tuple[Any, ...]] = []
        former: list[tuple[int, str]] = []
        for doc, stored in self.documents(list(sources)).items():
            before = stored.document.metadata
            metadata = follow_source(before, stored.document.source, sources[doc])
            document = replace(stored.document, source=sources[doc], metadata=metadata)
            row = document_row(doc, document, stored.passages)
            changed.append((document.source, row[_METADATA], row[-1], doc))
            former.append((doc, stored.document.source))
            if metadata != before:
                keys = [(field, text, doc) for field, text, _ in flatten_metadata(before)]
                self._many("DELETE FROM attributes WHERE field = ? AND text = ? AND doc = ?", keys)
                attributes = [(*attribute, doc) for attribute in flatten_metadata(metadata)]
                self._many("INSERT INTO attributes VALUES (?, ?, ?, ?)", attributes)
        self._many("UPDATE documents SET source = ?, metadata = ?, sum = ? WHERE doc = ?", changed)
        if self._has_table("files"):
            self._many("DELETE FROM files WHERE doc = ? AND location = ?", former)

    def record_files(self, states: Sequence[tuple[int, FileState]]) -> None:
        """Store the states of the files of stored documents, by the documents' numbers."""
        if states:
            self._execute(FILES)
            sql = "INSERT OR REPLACE INTO files SELECT doc, text_hash, ?, ?, ?, ?, ? FROM documents WHERE doc = ?"
            self._many(sql, [(*astuple(state), doc) for doc, state in states])

    def file_states(self, reading: str) -> Iterator[tuple[int, FileState]]:
        """Yield the numbers of documents and the states of their files, of those that were read in this way."""
        if self._has_table("files"):
            # The index of the texts' hashes says that the document is stored; a look at its row would read its text.
            sql = (
                "SELECT f.doc, location, size, modified, content, reading FROM files f "
                "CROSS JOIN documents d INDEXED BY documents_by_text ON d.text_hash = f.text_hash AND d.doc = f.doc "
                "WHERE reading = ?"
            )
            for doc, *state in self._each(sql, (reading,)):
                yield doc, FileState(*state)

    def withdraw(self, documents: Iterable[WithdrawnDocument]) -> None:
        """Remember documents that their files hold and the index does not."""
        rows = [astuple(document) for document in documents]
        if rows:
            for statement in WITHDRAWN.split(";"):
                self._execute(statement)
            self._many("INSERT OR REPLACE INTO withdrawn VALUES (?, ?, ?)", rows)

    def find_withdrawn(self, place: str, doc_id: str | None = None) -> WithdrawnDocument | None:
        """Return the withdrawn document of a place, with this doc_id or with any; None: there is none."""
        if not self._has_table("withdrawn"):
            return None
        sql = "SELECT place, doc_id, content FROM withdrawn WHERE place = ?"
        found = self._all(sql, (place,)) if doc_id is None else self._all(f"{sql} AND doc_id = ?", (place, doc_id))
        return WithdrawnDocument(*found[0]) if found else None

    def forget_withdrawn(
        self, *, places: Sequence[str] = (), records: Sequence[tuple[str, str]] = (), doc_ids: Sequence[str] = ()
    ) -> None:
        """Forget withdrawn documents: all of these places, those of (place, doc_id), and all with these doc_ids."""
        if self._has_table("withdrawn"):
            self._many("DELETE FROM withdrawn WHERE place = ?", [(place,) for place in places])
            self._many("DELETE FROM withdrawn WHERE place = ? AND doc_id = ?", records)
            self._many("DELETE FROM withdrawn WHERE doc_id = ?", [(doc_id,) for doc_id in doc_ids])

    def start_seen(self) -> None:
        """Begin to record which documents were seen, for `unseen_sources`."""
        self._execute("CREATE TEMP TABLE seen(doc INTEGER PRIMARY KEY)")

    def mark_seen(self, doc: int) -> bool:
        """Record a document by number; return False if it was recorded before."""
        return self._execute("INSERT OR IGNORE INTO seen VALUES (?)", (doc,)).rowcount == 1

    def is_seen(self, doc: int) -> bool:
        """Return whether a document was recorded, by its number."""
        return bool(self._all("SELECT 1 FROM seen WHERE doc = ?", (doc,)))

    def mark_all_seen(self, docs: Iterable[int]) -> None:
        """Record documents by number."""
        self._many("INSERT OR IGNORE INTO seen VALUES (?)", ((doc,) for doc in docs))

    def unseen_sources(self, before: int) -> Iterator[tuple[int, str]]:
        """Yield number and source of the documents with numbers < before that were not seen, ascending."""
        sql = "SELECT doc, source FROM documents WHERE doc NOT IN (SELECT doc FROM seen) AND doc < ? ORDER BY doc"
        yield from self._each(sql, (before,))

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
            if stored.document.locations:
                self._execute("DELETE FROM locations WHERE doc = ?", (stored.doc,))
            n_rows += len(rows)
        if self._has_table("files"):
            self._many("DELETE FROM files WHERE doc = ?", [(doc,) for doc in docs])
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

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Take back the changes of a block that raises an error; the transaction goes on."""
        self._execute("SAVEPOINT block")
        try:
            yield
        except Exception:
            self._execute("ROLLBACK TO block")
            raise
        finally:
            self._execute("RELEASE block")

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
        with self.lock:
            try:
                self._connection.executemany(sql, rows)
            except SQLITE_ERRORS as error:
                raise translate_error(self.path, error) from error
