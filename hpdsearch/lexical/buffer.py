"""The few rows that wait for the next commit of a lexical folder, scored in memory as Tantivy would score them."""

import math
from collections.abc import Iterable, Mapping
from itertools import chain

import numpy as np

from hpdsearch.common.vectors import Rows, Scores
from hpdsearch.lexical.analysis import counted_stems, searched_text

Passages = Iterable[tuple[int, str, str]]  # row, title, passage

_K1, _B = 1.2, 0.75  # tantivy, query/bm25.rs
# The lengths that Tantivy's byte for a length can mean: 0..40, then eight in steps of 2, of 4, of 8 ...
_LENGTHS = np.cumsum([0, *[1] * 40, *chain.from_iterable([2**step] * 8 for step in range(1, 27))], dtype=np.int64)


class BufferedRows:
    """Answers queries on rows in memory; the statistics of the words are those of the rows on disk.

    Attributes:
        rows: those that wait, in the order given.
    """

    def __init__(self, passages: Passages) -> None:
        counted = [(row, counted_stems(searched_text(title, passage))) for row, title, passage in passages]
        self.rows = [row for row, _ in counted]
        self._stems = [stems for _, stems in counted]
        lengths = np.array([sum(stems.values()) for stems in self._stems], np.int64)
        self._lengths = _LENGTHS[np.searchsorted(_LENGTHS, lengths, side="right") - 1]

    @property
    def stems(self) -> set[str]:
        """Every stem that they hold."""
        return set().union(*self._stems)

    @property
    def mean_length(self) -> float:
        """Stems a row."""
        return float(self._lengths.mean()) if self.rows else 0.0

    def search(self, weights: Mapping[str, float], mean_length: float) -> tuple[Rows, Scores]:
        """Score the rows that share a stem with the query.

        Args:
            weights: of each stem of the query its weight, as `idf`.
            mean_length: stems a row on disk.

        Returns:
            rows (m,) and BM25 scores (m,), as they were given.
        """
        norms = _K1 * (1 - _B + _B * self._lengths / max(mean_length, 1.0))
        scores: dict[int, float] = {}
        for row, stems, norm in zip(self.rows, self._stems, norms.tolist(), strict=True):
            for stem in weights.keys() & stems.keys():
                times = stems[stem]
                scores[row] = scores.get(row, 0.0) + weights[stem] * (1 + _K1) * times / (times + norm)
        return np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32)


def idf(n_rows: int, n_holding: int) -> float:
    """Return the weight of a stem that n_holding of n_rows rows hold."""
    return math.log(1 + (n_rows - n_holding + 0.5) / (n_holding + 0.5))
