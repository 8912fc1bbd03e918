"""Vectors that need not be encoded again: those of a document that the index held before this change, word for word."""

from collections.abc import Callable

import numpy as np

from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.dense import RowMap
from hpdsearch.encoder import Encoder
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.records import Document, Passage
from hpdsearch.search.segment_files import open_vectors, row_map


class VectorReuse:
    """Looks up the vectors of equal texts among the rows that were in force when the change began."""

    def __init__(self, change: Transaction, encoder: Encoder) -> None:
        self._change = change
        self._before = change.next_row
        self._usable = change.next_row > 0 and change.meta["encoder_hash"] == encoder.sha256
        self._waiting = change.catalog.buffered_vectors()  # now: they may move to a file while the change is under way
        self._sources: list[tuple[RowMap, Callable[[Rows], Stored]]] | None = None

    def find(self, document: Document) -> tuple[list[Passage], Stored] | None:
        """Return the passages and float16 vectors (n passages, dim) of a document with this title and text.

        Raises:
            CorruptIndexError: the vectors are not what was written.
        """
        found = self._change.catalog.find_same_text_rows(document, self._before) if self._usable else []
        if not found:
            return None
        rows = np.array([row for row, _, _ in found], np.int64)
        stored = np.empty((len(rows), self._change.meta["dim"]), np.float16)
        for held, read in self._opened():
            here = held.contains(rows)
            if here.any():
                stored[here] = read(held.positions(rows[here]))
        return [Passage(start, end) for _, start, end in found], stored

    def _opened(self) -> list[tuple[RowMap, Callable[[Rows], Stored]]]:
        """Return the rows of each segment, and of those that waited, each with what reads them by position."""
        if self._sources is None:
            change = self._change
            entries = change.catalog.segments()
            files = [open_vectors(change.folder, entry, change.meta["dim"]) for entry in entries]
            self._sources = [(row_map(entry), file.stored_rows) for entry, file in zip(entries, files, strict=True)]
            rows, stored = self._waiting
            if len(rows):
                self._sources.append((RowMap.from_rows(int(rows[0]), int(rows[-1]) + 1, rows), stored.__getitem__))
        return self._sources
