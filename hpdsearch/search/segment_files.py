"""Open the files of a segment: its vectors, its codes, its rows."""

from pathlib import Path

from hpdsearch.catalog import SegmentEntry
from hpdsearch.dense import IndexSpec, OperatingPoints, RowMap, Segment, VectorFile


def open_vectors(folder: Path, entry: SegmentEntry, dim: int) -> VectorFile:
    """Open the vectors file of a segment.

    Raises:
        CorruptIndexError: the file is missing or has another size.
    """
    return VectorFile(folder / entry.vectors_file, entry.n_rows, dim)


def open_segment(folder: Path, entry: SegmentEntry, dim: int) -> Segment:
    """Open the vectors and the codes of a segment.

    Raises:
        CorruptIndexError: a file is missing or altered.
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
    """Return the rows of a segment."""
    return RowMap.from_bytes(entry.first_row, entry.end_row, entry.n_rows, entry.row_map)
