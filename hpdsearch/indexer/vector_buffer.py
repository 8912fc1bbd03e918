"""The vectors of the rows that a transaction adds: few stay buffered in the catalog, many become a segment.

A vectors file with its index takes four fsyncs and the catalog's commit takes one. Adding one document costs only the
latter.
"""

from types import TracebackType

import numpy as np

from hpdsearch.catalog import SegmentEntry
from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Rows, Stored, require_matrix
from hpdsearch.dense import IndexSpec, RowMap, VectorWriter
from hpdsearch.indexer.merging import NewVectorsFile, add_segment, copy_rows, mergeable_tail
from hpdsearch.indexer.transaction import Transaction


class NewVectors:
    """Takes the vectors of the new rows in their order; leaving the context buffers them or adds their segment.

    If the block raises, its vectors are dropped.
    """

    def __init__(self, txn: Transaction, dim: int, spec: IndexSpec, progress: Progress) -> None:
        """Begin with the transaction's next row.

        Args:
            txn: the transaction; the block allocates a row for each vector.
            dim: dimensions of a vector.
            spec: index of each segment that is written.
            progress: shows a bar for each phase of building it.
        """
        self._txn = txn
        self._dim = dim
        self._spec = spec
        self._progress = progress
        self._first_row = txn.next_row
        self._n_committed = sum(entry.n_rows for entry in txn.catalog.segments())
        self._n_buffered = len(txn.catalog.buffered_vectors()[0])
        self._unwritten: list[Stored] = []
        self._writer: VectorWriter | None = None
        self._number = 0
        self._tail: list[SegmentEntry] = []
        self._older_rows: Rows = np.empty(0, np.int64)

    def __enter__(self) -> "NewVectors":
        return self

    def append(self, stored: Stored) -> None:
        """Append vectors (m, dim), float16, of unit length."""
        require_matrix(stored, name="vectors", dim=self._dim)
        self._unwritten.append(stored)
        self._n_buffered += len(stored)
        if self._writer is None and not self._txn.policy.fits_in_buffer(self._n_buffered, self._n_committed):
            self._writer = self._begin_file()
        if self._writer is not None:
            for block in self._unwritten:
                self._writer.append_stored(block)
            self._unwritten.clear()

    def _begin_file(self) -> VectorWriter:
        """Open a vectors file and copy the rows of the mergeable segment and of the buffer to its beginning."""
        catalog = self._txn.catalog
        self._number = self._txn.new_number()
        writer = VectorWriter(self._txn.vectors_path(self._number), self._dim).__enter__()
        self._writer = writer  # __exit__ removes the file if copying fails
        self._tail = mergeable_tail(self._txn)
        copied = copy_rows(self._txn, self._tail, writer)
        buffered, stored = catalog.buffered_vectors()
        self._older_rows = np.concatenate([copied, buffered])
        writer.append_stored(stored.reshape(-1, self._dim))
        catalog.clear_buffer()
        return writer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, tb)
        if kind is None:
            self._apply()

    def _apply(self) -> None:
        """Buffer the new rows, or register the segment of the published file and run the merges that are due."""
        if self._writer is None:
            if self._txn.next_row > self._first_row:
                rows = np.arange(self._first_row, self._txn.next_row)
                self._txn.catalog.buffer_rows(rows, np.concatenate(self._unwritten))
            return
        new = NewVectorsFile(self._number, self._row_map(), self._writer.size_bytes, self._writer.sha256)
        add_segment(self._txn, new, self._tail, self._spec, self._progress)

    def _row_map(self) -> RowMap:
        rows = np.concatenate([self._older_rows, np.arange(self._first_row, self._txn.next_row)])
        first_row = self._tail[0].first_row if self._tail else int(rows[0])
        return RowMap.from_rows(first_row, self._txn.next_row, rows)
