"""Reuse of stored vectors: a document whose title and text the index holds already is not encoded again."""

from collections.abc import Callable

import numpy as np

from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.dense import RowMap
from hpdsearch.encoder import Encoder
from hpdsearch.indexer.draft import Draft
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.records import Document, Passage
from hpdsearch.search.segment_files import open_vectors, row_map


class VectorReuse:
    """Finds the vectors of equal texts among the rows that were active when the transaction began."""

    def __init__(self, txn: Transaction, encoder: Encoder) -> None:
        self._txn = txn
        self._end_row = txn.next_row
        is_draft = Draft.read(txn.meta) is not None
        self._is_usable = txn.next_row > 0 and txn.meta["encoder_hash"] == encoder.sha256 and not is_draft
        # Read now, because the transaction may move the buffered rows to a file.
        self._buffered = txn.catalog.buffered_vectors()
        self._sources: list[tuple[RowMap, Callable[[Rows], Stored]]] | None = None

    def find_reusable(self, document: Document) -> tuple[list[Passage], Stored] | None:
        """Return the passages and vectors (n_passages, dim), float16, of a document with this title and text.

        Returns None if the index holds no such document.

        Raises:
            CorruptIndexError: a vector differs from its checksum.
        """
        found = self._txn.catalog.find_same_text_rows(document, self._end_row) if self._is_usable else []
        if not found:
            return None
        rows = np.array([row for row, _, _ in found], np.int64)
        stored = np.empty((len(rows), self._txn.meta["dim"]), np.float16)
        for source_rows, read in self._open_sources():
            is_here = source_rows.contains(rows)
            if is_here.any():
                stored[is_here] = read(source_rows.positions(rows[is_here]))
        return [Passage(start, end) for _, start, end in found], stored

    def _open_sources(self) -> list[tuple[RowMap, Callable[[Rows], Stored]]]:
        """Return the rows of each segment and of the buffer, each with a function: positions -> stored vectors."""
        if self._sources is None:
            self._sources = []
            for entry in self._txn.catalog.segments():
                vectors = open_vectors(self._txn.folder, entry, self._txn.meta["dim"])
                self._sources.append((row_map(entry), vectors.stored_rows))
            rows, stored = self._buffered
            if len(rows):
                buffered_rows = RowMap.from_rows(int(rows[0]), int(rows[-1]) + 1, rows)
                self._sources.append((buffered_rows, stored.__getitem__))
        return self._sources
