"""One committed snapshot of an index, opened for searching."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hpdsearch.catalog import Catalog, SegmentEntry
from hpdsearch.common.vectors import Mask, Rows
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.lexical import LexicalReader
from hpdsearch.search.conditions import find_holders, find_rows, is_common
from hpdsearch.search.query_syntax import Condition

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A")
R = TypeVar("R")

MAX_CACHED_FILTERS = 8


@dataclass(frozen=True)
class Restriction:
    """Requirements that a document must meet to be found.

    Attributes:
        where: a filter (docs/filters.md); None: none.
        conditions: of the marks of a query.
    """

    where: str | None = None
    conditions: tuple[Condition, ...] = ()


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
    _allowed: dict[Restriction, Rows] = field(default_factory=dict)
    _row_filters: dict[Restriction, RowFilter] = field(default_factory=dict)
    _common: dict[Condition, bool] = field(default_factory=dict)
    _compared: dict[Condition, dict[int, bool]] = field(default_factory=dict)

    def map_segments(self, search: Callable[[A], R], segments: Iterable[A]) -> Iterator[R]:
        """Apply a function to the segments, one after the other; yield its results in their order."""
        return map(search, segments)

    def allowed_rows(self, restriction: Restriction) -> Rows | None:
        """Return the live rows (n,) that a search may return, ascending; None: all.

        They do not meet the common conditions yet (`docs_of_rows`).

        Raises:
            FilterError: the filter cannot be parsed.
        """
        if restriction.where is None and all(map(self._is_common, restriction.conditions)):
            return None
        return _memoize(self._allowed, restriction, lambda: self._find_allowed(restriction))

    def docs_of_rows(self, rows: Rows, restriction: Restriction) -> dict[int, int]:
        """Return the document number by row, for the live rows of documents that meet the common conditions."""
        docs = self.catalog.docs_of_rows(rows)
        for condition in filter(self._is_common, restriction.conditions):
            compared = _memoize(self._compared, condition, dict)
            new = set(docs.values()) - compared.keys()
            held = find_holders(self.catalog, self.lexical, condition.words, new)
            compared.update({doc: (doc in held) != condition.is_excluded for doc in new})
            docs = {row: doc for row, doc in docs.items() if compared[doc]}
        return docs

    def _is_common(self, condition: Condition) -> bool:
        return _memoize(self._common, condition, lambda: is_common(self.catalog, self.lexical, condition))

    def row_filter(self, restriction: Restriction) -> RowFilter:
        """Return the rows of each segment that a search may return.

        Raises:
            FilterError: the filter cannot be parsed.
        """
        return _memoize(self._row_filters, restriction, lambda: self._make_row_filter(restriction))

    def _find_allowed(self, restriction: Restriction) -> Rows:
        where = restriction.where
        allowed = self._live_rows() if where is None else self.catalog.rows_where(where)
        for condition in restriction.conditions:
            if self._is_common(condition):
                continue
            rows = find_rows(self.catalog, self.lexical, condition)
            if rows is not None:
                keep = np.setdiff1d if condition.is_excluded else np.intersect1d
                allowed = keep(allowed, rows, assume_unique=True)
        return allowed

    def _live_rows(self) -> Rows:
        rows = np.concatenate([np.empty(0, np.int64), *(segment.rows.all_rows() for segment in self.segments)])
        return np.setdiff1d(rows, self.tombstones, assume_unique=True)

    def _make_row_filter(self, restriction: Restriction) -> RowFilter:
        rows = self.allowed_rows(restriction)
        if rows is not None:
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
