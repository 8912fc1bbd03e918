"""One committed snapshot of an index, opened for searching."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hpdsearch.catalog import Catalog, SegmentEntry
from hpdsearch.common.vectors import Mask, Rows
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.lexical import LexicalReader

K = TypeVar("K")
V = TypeVar("V")

MAX_CACHED_FILTERS = 8


@dataclass(frozen=True)
class RowFilter:
    """The rows of each segment that a search may return.

    Attributes:
        masks: for each segment a boolean mask (n_rows,) by position; None: all rows are allowed.
        counts: for each segment the number of allowed rows.
    """

    masks: tuple[Mask | None, ...]
    counts: tuple[int, ...]

    @classmethod
    def from_masks(cls, masks: Sequence[Mask]) -> "RowFilter":
        """Build from boolean masks; a mask that allows every row becomes None."""
        counts = tuple(int(np.count_nonzero(mask)) for mask in masks)
        return cls(tuple(None if n == len(mask) else mask for n, mask in zip(counts, masks, strict=True)), counts)


@dataclass
class Snapshot:
    """The opened files of one committed generation, with a cache of the rows that filters allow.

    Attributes:
        catalog: documents and metadata.
        segments: vectors with their codes; the buffered vectors come last, if there are any.
        lexical: the BM25 index.
        entries: the catalog's entries of the segments, in their order.
        tombstones: deleted rows (n,) that segments or the buffer still hold, ascending.
    """

    catalog: Catalog
    segments: Sequence[Segment | BufferedVectors]
    lexical: LexicalReader
    entries: Sequence[SegmentEntry]
    tombstones: Rows
    _filters: dict[str, Rows] = field(default_factory=dict)
    _row_filters: dict[str | None, RowFilter] = field(default_factory=dict)

    def rows_where(self, where: str) -> Rows:
        """Return the live rows (n,) that pass a filter, ascending.

        Raises:
            FilterError: the filter cannot be parsed.
        """
        return _memoize(self._filters, where, lambda: self.catalog.rows_where(where))

    def row_filter(self, where: str | None) -> RowFilter:
        """Return the rows of each segment that pass a filter; `where` None: all live rows.

        Raises:
            FilterError: the filter cannot be parsed.
        """
        return _memoize(self._row_filters, where, lambda: self._make_row_filter(where))

    def _make_row_filter(self, where: str | None) -> RowFilter:
        if where is not None:
            rows = self.rows_where(where)
            return RowFilter.from_masks(
                [segment.rows.mask(rows_of_segment(rows, segment)) for segment in self.segments]
            )
        if not len(self.tombstones):
            return RowFilter((None,) * len(self.segments), tuple(segment.n_rows for segment in self.segments))
        return RowFilter.from_masks(
            [~segment.rows.mask(rows_of_segment(self.tombstones, segment)) for segment in self.segments]
        )


def _memoize(cache: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """Return the cached value of a key, or make it; a full cache is cleared first."""
    value = cache.get(key)
    if value is None:
        value = make()
        if len(cache) >= MAX_CACHED_FILTERS:
            cache.clear()
        cache[key] = value
    return value


def rows_of_segment(rows: Rows, segment: Segment | BufferedVectors) -> Rows:
    """Return the rows (m,) of a segment among these rows (n,); both ascend."""
    return rows[np.searchsorted(rows, segment.rows.first_row) : np.searchsorted(rows, segment.rows.end_row)]
