"""Vectors that need not be encoded again: those of a document that the index held before this change, word for word."""

import numpy as np
import numpy.typing as npt

from hpdsearch.encoder import Encoder
from hpdsearch.index import RowMap, VectorFile
from hpdsearch.records import Document, Passage
from hpdsearch.segments import open_vectors, row_map
from hpdsearch.transaction import Transaction

Stored = npt.NDArray[np.float16]


class KnownVectors:
    """Looks up the vectors of equal texts among the rows that were in force when the change began."""

    def __init__(self, change: Transaction, encoder: Encoder) -> None:
        self._change = change
        self._before = change.next_row
        self._usable = change.next_row > 0 and change.meta["encoder_hash"] == encoder.hash
        self._segments: list[tuple[RowMap, VectorFile]] | None = None

    def find(self, document: Document) -> tuple[list[Passage], Stored] | None:
        """Return the passages and float16 vectors (n passages, dim) of a document with this title and text.

        Raises:
            DamagedError: the vectors are not what was written.
        """
        found = self._change.catalog.same_text_rows(document, self._before) if self._usable else []
        if not found:
            return None
        rows = np.array([row for row, _, _ in found], np.int64)
        stored = np.empty((len(rows), self._change.meta["dim"]), np.float16)
        for held, vectors in self._opened():
            here = held.held(rows)
            for at, position in zip(np.flatnonzero(here), held.positions(rows[here]), strict=True):
                stored[at] = vectors.stored(int(position), int(position) + 1)[0]
        return [Passage(start, end) for _, start, end in found], stored

    def _opened(self) -> list[tuple[RowMap, VectorFile]]:
        if self._segments is None:
            change = self._change
            self._segments = [
                (row_map(entry), open_vectors(change.folder, entry, change.meta["dim"]))
                for entry in change.catalog.segments()
            ]
        return self._segments
