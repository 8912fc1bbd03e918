"""Opening the files of a segment: its vectors, its index, the rows that it holds."""

from pathlib import Path

from hpdsearch.catalog import SegmentEntry
from hpdsearch.dense import IndexSpec, OperatingPoints, RowMap, Segment, VectorFile


def open_vectors(folder: Path, entry: SegmentEntry, dim: int) -> VectorFile:
    """Open the vectors file of a segment.

    Raises:
        CorruptIndexError: it is missing or of another size.
    """
    return VectorFile(folder / entry.vectors_file, entry.n_rows, dim)


def open_segment(folder: Path, entry: SegmentEntry, dim: int) -> Segment:
    """Open the two files of a segment.

    Raises:
        CorruptIndexError: one is missing or altered.
    """
    return Segment.open(
        row_map(entry),
        open_vectors(folder, entry, dim),
        IndexSpec.from_dict(entry.spec),
        folder / entry.index_file,
        entry.index_sha256,
        None if entry.operating_points is None else OperatingPoints.from_dict(entry.operating_points),
    )


def row_map(entry: SegmentEntry) -> RowMap:
    """Return which rows a segment holds."""
    return RowMap.from_bytes(entry.first_row, entry.end_row, entry.n_rows, entry.row_map)
