"""One committed state of an index, opened: what a search looks at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hpdsearch.catalog import Catalog
from hpdsearch.common.vectors import Mask, Rows
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.lexical import LexicalReader

K = TypeVar("K")
V = TypeVar("V")

MAX_CACHED_FILTERS = 8


@dataclass(frozen=True)
class RowFilter:
    """What a search may find of each segment.

    Attributes:
        masks: which positions (n_rows,) may be found; None: all.
        counts: how many these are.
    """

    masks: tuple[Mask | None, ...]
    counts: tuple[int, ...]

    @classmethod
    def from_masks(cls, masks: Sequence[Mask]) -> "RowFilter":
        """Return these masks, None in place of those that hold back nothing."""
        counts = tuple(int(np.count_nonzero(mask)) for mask in masks)
        return cls(tuple(None if n == len(mask) else mask for n, mask in zip(counts, masks, strict=True)), counts)


@dataclass
class Snapshot:
    """What a search looks at: one committed state of an index. The last few filters are remembered."""

    catalog: Catalog
    segments: Sequence[Segment | BufferedVectors]
    lexical: LexicalReader
    tombstones: Rows
    _filters: dict[str, Rows] = field(default_factory=dict)
    _masks: dict[str | None, RowFilter] = field(default_factory=dict)

    def rows_where(self, where: str) -> Rows:
        """Return the rows that a filter lets through, ascending."""
        return _remembered(self._filters, where, lambda: self.catalog.rows_where(where))

    def masks(self, where: str | None) -> RowFilter:
        """Return what a filter lets through; None: all that lives."""

        def make() -> RowFilter:
            if where is None and not len(self.tombstones):
                return RowFilter((None,) * len(self.segments), tuple(segment.n_rows for segment in self.segments))
            if where is None:
                dead = self.tombstones
                return RowFilter.from_masks(
                    [~segment.rows.mask(rows_between(dead, segment)) for segment in self.segments]
                )
            rows = self.rows_where(where)
            return RowFilter.from_masks([segment.rows.mask(rows_between(rows, segment)) for segment in self.segments])

        return _remembered(self._masks, where, make)


def _remembered(memory: dict[K, V], key: K, make: Callable[[], V]) -> V:
    value = memory.get(key)
    if value is None:
        value = make()
        if len(memory) >= MAX_CACHED_FILTERS:
            memory.clear()
        memory[key] = value
    return value


def rows_between(rows: Rows, segment: Segment | BufferedVectors) -> Rows:
    """Return those of the rows, ascending, that lie in the span of a segment."""
    return rows[np.searchsorted(rows, segment.rows.first_row) : np.searchsorted(rows, segment.rows.end_row)]
