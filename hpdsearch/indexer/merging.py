"""Segments are added, merged, rewritten and reindexed here; the merge policy decides which."""

import dataclasses
import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpdsearch.catalog import CatalogWriter, SegmentEntry
from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.dense import IndexSpec, RowMap, TrainedCodes, VectorWriter, build_index
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.search.segment_files import open_vectors, row_map

logger = logging.getLogger(__name__)

COPY_BLOCK_ROWS = 16_384  # rows in memory while vectors are copied
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
MIN_BUDGETED_ROWS = 10_000  # smaller segments get no share of a memory budget


Replace = Callable[[Rows, Stored], Stored]


def keep_vectors(_: Rows, stored: Stored) -> Stored:
    """Return the stored vectors."""
    return stored


@dataclass(frozen=True)
class NewVectorsFile:
    """A vectors file that this transaction has written.

    Attributes:
        number: number in the file's name.
        rows: rows whose vectors it holds.
        size_bytes: its size.
        sha256: its checksum.
    """

    number: int
    rows: RowMap
    size_bytes: int
    sha256: str


def mergeable_tail(txn: Transaction) -> list[SegmentEntry]:
    """Return the newest segment if new rows are to be merged into it, else nothing."""
    newest = txn.catalog.segments()[-1:]
    return newest if newest and txn.policy.is_small(n_live(txn.catalog, newest[0])) else []


def copy_rows(
    txn: Transaction, entries: Iterable[SegmentEntry], target: VectorWriter, replace: Replace = keep_vectors
) -> Rows:
    """Append the vectors of the live rows of segments to a file.

    Args:
        txn: the transaction.
        entries: the segments.
        target: the file.
        replace: returns the vectors to write, for rows (m,) and their stored vectors (m, dim).

    Returns:
        these rows (n,), ascending.

    Raises:
        CorruptIndexError: a vectors file is missing or altered.
    """
    copied = [np.empty(0, np.int64)]
    for entry in entries:
        vectors = open_vectors(txn.folder, entry, target.dim)
        rows = row_map(entry).all_rows()
        is_live = ~np.isin(rows, txn.catalog.tombstones(entry.first_row, entry.end_row))
        for start in range(0, len(rows), COPY_BLOCK_ROWS):
            end = min(start + COPY_BLOCK_ROWS, len(rows))
            mask = is_live[start:end]
            target.append_stored(replace(rows[start:end][mask], vectors.stored(start, end)[mask]))
            vectors.release()
        copied.append(rows[is_live])
    return np.concatenate(copied)


def add_segment(
    txn: Transaction, new: NewVectorsFile, absorbed: Sequence[SegmentEntry], spec: IndexSpec, progress: Progress
) -> None:
    """Register the new segment and run the merges that are due.

    Args:
        txn: the transaction.
        new: the vectors file of the new segment.
        absorbed: segments whose live rows are in that file too; they are dropped.
        spec: index of each segment that is written.
        progress: shows a bar for each phase.
    """
    for entry in absorbed:
        txn.catalog.drop_segment(entry, new.rows.all_rows())
    entries = txn.catalog.segments()
    sizes = [n_live(txn.catalog, entry) for entry in entries]
    first = txn.policy.first_segment_to_merge(sizes, new.rows.n_rows)
    if first == len(entries):
        _build_index(txn, _entry_without_index(txn, new), new.number, spec, progress)
    else:
        rewrite(txn, [*entries[first:], _entry_without_index(txn, new)], spec, progress)
        txn.vectors_path(new.number).unlink()
    rewrite_tombstoned(txn, entries[:first], spec, progress)


def apply_deletions(txn: Transaction, spec: IndexSpec, progress: Progress) -> None:
    """Rewrite the segments in which tombstoned rows prevail; call it after rows were deleted and none added.

    On a full disk the rows stay in their segments, so that documents can be deleted nevertheless.
    """
    try:
        with txn.catalog.savepoint():
            rewrite_tombstoned(txn, txn.catalog.segments(), spec, progress)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        logger.warning("%s: no room to remove deleted vectors from the disk; a later change does it", txn.folder)
        txn.remove_unnamed_files()


def rewrite_tombstoned(txn: Transaction, entries: Sequence[SegmentEntry], spec: IndexSpec, progress: Progress) -> None:
    """Rewrite those of the segments that the merge policy names because of their tombstoned rows."""
    for entry in entries:
        if txn.policy.needs_rewrite(entry.n_rows, n_live(txn.catalog, entry)):
            rewrite(txn, [entry], spec, progress)


def compact_segments(txn: Transaction, spec: IndexSpec, progress: Progress) -> None:
    """Merge all segments and all buffered rows into one segment of live rows, unless there is only one already."""
    entries = txn.catalog.segments()
    buffered, _ = txn.catalog.buffered_vectors()
    if len(entries) > 1 or len(buffered) or len(txn.catalog.tombstones()):
        rewrite(txn, entries, spec, progress, with_buffered=True)


def rewrite(
    txn: Transaction,
    entries: Sequence[SegmentEntry],
    spec: IndexSpec,
    progress: Progress,
    *,
    with_buffered: bool = False,
    replace: Replace = keep_vectors,
) -> None:
    """Replace neighboring segments by one of their live rows; by none if no row is live.

    Args:
        txn: the transaction.
        entries: segments of consecutive rows, oldest first.
        spec: index of the new segment.
        progress: shows a bar for each phase.
        with_buffered: append the buffered rows and clear the buffer.
        replace: returns the vectors to write, for rows (m,) and their stored vectors (m, dim).
    """
    number = txn.new_number()
    dim = txn.meta["dim"]
    with VectorWriter(txn.vectors_path(number), dim) as vectors:
        rows = copy_rows(txn, entries, vectors, replace)
        if with_buffered:
            buffered, stored = txn.catalog.buffered_vectors()
            vectors.append_stored(replace(buffered, stored.reshape(-1, dim)))
            rows = np.concatenate([rows, buffered])
            txn.catalog.clear_buffer()
    for entry in entries:
        txn.catalog.drop_segment(entry, rows)
    if not len(rows):
        txn.vectors_path(number).unlink()
        return
    first_row = entries[0].first_row if entries else int(rows[0])
    end_row = max([int(rows[-1]) + 1, *(entry.end_row for entry in entries)])
    new = NewVectorsFile(number, RowMap.from_rows(first_row, end_row, rows), vectors.size_bytes, vectors.sha256)
    del rows  # 8 bytes a row
    _build_index(txn, _entry_without_index(txn, new), number, spec, progress)


def rebuild_index(
    txn: Transaction, entry: SegmentEntry, spec: IndexSpec, progress: Progress, trained: TrainedCodes | None = None
) -> None:
    """Build another index file from a segment's vectors; with the given centroids and codebooks, if there are any."""
    _build_index(txn, entry, txn.new_number(), spec, progress, trained)


def n_live(catalog: CatalogWriter, entry: SegmentEntry) -> int:
    """Return the number of live rows of a segment."""
    return entry.n_rows - len(catalog.tombstones(entry.first_row, entry.end_row))


def _build_index(
    txn: Transaction,
    entry: SegmentEntry,
    number: int,
    spec: IndexSpec,
    progress: Progress,
    trained: TrainedCodes | None = None,
) -> None:
    """Build the index file with this number from a segment's vectors, and activate the segment with it."""
    vectors = open_vectors(txn.folder, entry, txn.meta["dim"])
    if spec.memory:  # a budget of the whole index: every large segment gets its share
        n_other_rows = sum(other.n_rows for other in txn.catalog.segments() if other.segment != entry.segment)
        share = spec.memory * entry.n_rows // (entry.n_rows + n_other_rows)
        spec = dataclasses.replace(spec, memory=share if entry.n_rows >= MIN_BUDGETED_ROWS else 0)
    built = build_index(vectors, spec, txn.index_path(number), progress=progress, trained=trained)
    txn.catalog.add_segment(
        dataclasses.replace(
            entry,
            index_file=txn.index_path(number).name,
            index_bytes=built.size_bytes,
            index_sha256=built.sha256,
            spec=built.spec.as_dict(),
            operating_points=None if built.operating_points is None else built.operating_points.as_dict(),
        )
    )


def _entry_without_index(txn: Transaction, new: NewVectorsFile) -> SegmentEntry:
    """Return the catalog entry of a vectors file that has no index yet."""
    return SegmentEntry(
        segment=new.number,
        first_row=new.rows.first_row,
        end_row=new.rows.end_row,
        n_rows=new.rows.n_rows,
        row_map=new.rows.to_bytes(),
        vectors_file=txn.vectors_path(new.number).name,
        vectors_bytes=new.size_bytes,
        vectors_sha256=new.sha256,
        index_file="",
        index_bytes=0,
        index_sha256="",
        spec={},
        operating_points=None,
    )
