"""The vectors of the passages that a change adds: few wait in the catalog, many go to a file and become a segment.

A file takes four fsyncs to be brought to disk, the catalog's commit one: so adding one document costs the latter alone.
"""

from types import TracebackType

import numpy as np

from hpdsearch.catalog import SegmentEntry
from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix, Stored, require_matrix
from hpdsearch.dense import IndexSpec, RowMap, VectorWriter
from hpdsearch.indexer.merging import NewVectorsFile, copy_rows, mergeable_tail, settle
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.lexical import fits_in_buffer


class NewVectors:
    """Takes the vectors of new passages in the order of their rows; a context, since it may hold a file open."""

    def __init__(self, change: Transaction, dim: int) -> None:
        self._change, self._dim = change, dim
        self._first_row = change.next_row
        self._n_committed = sum(entry.n_rows for entry in change.catalog.segments())
        self._held: list[Stored] = []  # not in the file, if there is one
        self._n_held = len(change.catalog.buffered_vectors()[0])
        self._writer: VectorWriter | None = None
        self._number = 0
        self._tail: list[SegmentEntry] = []
        self._old_rows = np.empty(0, np.int64)

    def __enter__(self) -> "NewVectors":
        return self

    def append(self, vectors: Matrix) -> None:
        """Take encoded vectors (m, dim), of unit length."""
        require_matrix(vectors, name="vectors", dim=self._dim)
        self.append_stored(vectors.astype("<f2"))

    def append_stored(self, stored: Stored) -> None:
        """Take vectors (m, dim) as they are stored."""
        self._held.append(stored)
        self._n_held += len(stored)
        if self._writer is None and not fits_in_buffer(self._n_held, self._n_committed):
            self._open()
        if self._writer is not None:
            for held in self._held:
                self._writer.append_stored(held)
            self._held.clear()

    def _open(self) -> None:
        """Begin a file with the living rows of the small segment before and those that waited."""
        catalog = self._change.catalog
        self._number = self._change.new_number()
        self._writer = VectorWriter(self._change.vectors_path(self._number), self._dim).__enter__()
        self._tail = mergeable_tail(catalog)
        rows, waiting = catalog.buffered_vectors()
        self._old_rows = np.concatenate([copy_rows(self._change, self._tail, self._writer), rows])
        self._writer.append_stored(waiting.reshape(-1, self._dim))
        catalog.clear_buffer()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, tb)

    def settle(self, spec: IndexSpec, progress: Progress) -> None:
        """Bring the vectors into force, after the context has ended well; change.next_row ends their rows."""
        rows = np.arange(self._first_row, self._change.next_row)
        if self._writer is None:
            if len(rows):
                self._change.catalog.buffer_rows(rows, np.concatenate(self._held))
            return
        all_rows = np.concatenate([self._old_rows, rows])
        first_row = self._tail[0].first_row if self._tail else int(all_rows[0])
        held = RowMap.from_rows(first_row, self._change.next_row, all_rows)
        written = NewVectorsFile(self._number, held, self._writer.size_bytes, self._writer.sha256)
        settle(self._change, spec, written, self._tail, progress)
