"""The segments of an index as it lives: which are rewritten together by a change, and how.

A change writes its new passages and the small segment before them as one; when that has grown to the size of its
neighbour, both become one, and so on, as in a log-structured merge tree: n single adds leave about log2(n / TAIL)
segments and rewrite each vector as often. Dead rows are left behind wherever a segment is rewritten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpdsearch.catalog import CatalogWriter, SegmentEntry
from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Rows
from hpdsearch.dense import IndexSpec, RowMap, VectorWriter, build_index
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.search.segment_files import open_vectors, row_map

TAIL = 1024  # live rows: rewriting so few costs little beside bringing files to disk, and each segment slows a search
DEAD = 256  # so many dead rows and more, if they are the majority, are worth a rewrite
MERGED = 131_072  # a small change rewrites at most so many rows, a larger one MERGED_SHARE times what it adds
MERGED_SHARE = 8
COPIED = 16_384  # rows in memory at a time
SHARED = 10_000  # rows; smaller segments weigh nothing in a memory budget


@dataclass(frozen=True)
class NewVectorsFile:
    """A vectors file that a change has made, and the rows that lie in it."""

    number: int
    rows: RowMap
    size_bytes: int
    sha256: str


def mergeable_tail(catalog: CatalogWriter) -> list[SegmentEntry]:
    """Return the last segment in a list, if new rows are to be written behind its own."""
    last = catalog.segments()[-1:]
    return last if last and _live(catalog, last[0]) <= TAIL else []


def copy_rows(change: Transaction, entries: Iterable[SegmentEntry], target: VectorWriter) -> Rows:
    """Append the vectors of the living rows of segments to a file, bit by bit as they are; return those rows."""
    copied = [np.empty(0, np.int64)]
    for entry in entries:
        vectors, rows = open_vectors(change.folder, entry, target.dim), row_map(entry).all_rows()
        alive = ~np.isin(rows, change.catalog.tombstones(entry.first_row, entry.end_row))
        for start in range(0, len(rows), COPIED):
            end = min(start + COPIED, len(rows))
            target.append_stored(vectors.stored(start, end)[alive[start:end]])
            vectors.release()
        copied.append(rows[alive])
    return np.concatenate(copied)


def settle(
    change: Transaction,
    spec: IndexSpec,
    written: NewVectorsFile | None,
    absorbed: Sequence[SegmentEntry],
    progress: Progress,
) -> None:
    """Bring what a change has written into force, and rewrite the segments whose turn it is.

    Args:
        change: the transaction.
        spec: the index to make of each segment that is written.
        written: the new vectors; None: rows were only deleted.
        absorbed: the segments whose living rows lie in `written` too.
        progress: a bar a phase.
    """
    entries = [entry for entry in change.catalog.segments() if entry not in absorbed]
    if written is not None:
        for entry in absorbed:
            change.catalog.drop_segment(entry, written.rows.all_rows())
        sizes = [_live(change.catalog, entry) for entry in entries]
        first = first_segment_to_merge(sizes, written.rows.n_rows)
        if first < len(entries):
            new = _entry_without_index(change, written)
            merged, entries = [*entries[first:], new], entries[:first]
            rewrite(change, merged, spec, progress)
            change.vectors_path(written.number).unlink()
        else:
            _build(change, written, spec, progress)
    for entry in entries:
        live = _live(change.catalog, entry)
        if live <= MERGED and entry.n_rows - live > max(DEAD, live):
            rewrite(change, [entry], spec, progress)


def first_segment_to_merge(sizes: Sequence[int], n_new: int) -> int:
    """Return from which segment on, by their living rows, all are rewritten with n_new rows that come after them."""
    limit, first, total = max(MERGED, MERGED_SHARE * n_new), len(sizes), n_new
    while first and sizes[first - 1] <= max(TAIL, total) and total + sizes[first - 1] <= limit:
        first -= 1
        total += sizes[first]
    return first


def compact_segments(change: Transaction, spec: IndexSpec, progress: Progress) -> None:
    """Make one segment of all living rows, those that wait included, if they are not one already."""
    entries, (waiting, _) = change.catalog.segments(), change.catalog.buffered_vectors()
    if len(entries) > 1 or len(waiting) or len(change.catalog.tombstones()):
        rewrite(change, entries, spec, progress, with_waiting=True)


def rewrite(
    change: Transaction,
    entries: Sequence[SegmentEntry],
    spec: IndexSpec,
    progress: Progress,
    *,
    with_waiting: bool = False,
) -> None:
    """Make one segment of the living rows of neighbouring ones; none if no row lives."""
    number, dim = change.new_number(), change.meta["dim"]
    with VectorWriter(change.vectors_path(number), dim) as vectors:
        rows = copy_rows(change, entries, vectors)
        if with_waiting:
            waiting, stored = change.catalog.buffered_vectors()
            vectors.append_stored(stored.reshape(-1, dim))
            rows = np.concatenate([rows, waiting])
            change.catalog.clear_buffer()
    for entry in entries:
        change.catalog.drop_segment(entry, rows)
    if not len(rows):
        change.vectors_path(number).unlink()
        return
    first_row = entries[0].first_row if entries else int(rows[0])
    end_row = max([int(rows[-1]) + 1, *(entry.end_row for entry in entries)])
    held = RowMap.from_rows(first_row, end_row, rows)
    _build(change, NewVectorsFile(number, held, vectors.size_bytes, vectors.sha256), spec, progress)


def rebuild_index(change: Transaction, entry: SegmentEntry, spec: IndexSpec, progress: Progress) -> None:
    """Make another index file of a segment's vectors."""
    _build_index(change, entry, change.new_number(), spec, progress)


def _build_index(change: Transaction, entry: SegmentEntry, number: int, spec: IndexSpec, progress: Progress) -> None:
    vectors = open_vectors(change.folder, entry, change.meta["dim"])
    if spec.memory:  # every large segment gets its share
        n_rows = sum(other.n_rows for other in change.catalog.segments() if other.segment != entry.segment)
        share = spec.memory * entry.n_rows // (entry.n_rows + n_rows)
        spec = replace(spec, memory=share if entry.n_rows >= SHARED else 0)
    made = build_index(vectors, spec, change.index_path(number), progress=progress)
    new = replace(
        entry,
        index_file=change.index_path(number).name,
        index_bytes=made.size_bytes,
        index_sha256=made.sha256,
        spec=made.spec.as_dict(),
        operating_points=None if made.operating_points is None else made.operating_points.as_dict(),
    )
    change.catalog.add_segment(new)


def _build(change: Transaction, written: NewVectorsFile, spec: IndexSpec, progress: Progress) -> None:
    _build_index(change, _entry_without_index(change, written), written.number, spec, progress)


def _entry_without_index(change: Transaction, written: NewVectorsFile) -> SegmentEntry:
    """Return the entry of a vectors file that has no index yet."""
    return SegmentEntry(
        segment=written.number,
        first_row=written.rows.first_row,
        end_row=written.rows.end_row,
        n_rows=written.rows.n_rows,
        row_map=written.rows.to_bytes(),
        vectors_file=change.vectors_path(written.number).name,
        vectors_bytes=written.size_bytes,
        vectors_sha256=written.sha256,
        index_file="",
        index_bytes=0,
        index_sha256="",
        spec={},
        operating_points=None,
    )


def _live(catalog: CatalogWriter, entry: SegmentEntry) -> int:
    return entry.n_rows - len(catalog.tombstones(entry.first_row, entry.end_row))
