"""The buffered passages, which are not in a lexical folder yet, scored in memory as Tantivy would score them."""

from collections.abc import Iterable, Mapping

import numpy as np

from hpdsearch.common.vectors import Rows, Scores
from hpdsearch.lexical.analysis import ENGLISH_ANALYSIS, Analysis, count_stems, prepare_passage
from hpdsearch.lexical.tantivy_formats import K1, B, round_lengths

Passages = Iterable[tuple[int, str, str]]  # row, title, passage


class BufferedRows:
    """Scores passages in memory by BM25, with the document frequencies and the mean length of the rows on disk.

    Attributes:
        rows: the buffered rows, in the order given.
    """

    def __init__(self, passages: Passages, analysis: Analysis = ENGLISH_ANALYSIS) -> None:
        counted = [
            (row, count_stems(prepare_passage(title, passage, analysis), analysis)) for row, title, passage in passages
        ]
        self.rows = [row for row, _ in counted]
        self._stems = [stems for _, stems in counted]
        self._lengths = round_lengths(np.array([sum(stems.values()) for stems in self._stems], np.int64))

    @classmethod
    def join(cls, buffers: "Iterable[BufferedRows]") -> "BufferedRows":
        """Return the rows of several buffers, which have one analysis, as those of one."""
        parts = list(buffers)
        joined = cls(())
        joined.rows = [row for part in parts for row in part.rows]
        joined._stems = [stems for part in parts for stems in part._stems]
        joined._lengths = np.concatenate([joined._lengths, *(part._lengths for part in parts)])
        return joined

    @property
    def stems(self) -> set[str]:
        """All stems of the buffered passages."""
        return set().union(*self._stems)

    @property
    def mean_length(self) -> float:
        """Mean number of stems in a buffered passage."""
        return float(self._lengths.mean()) if self.rows else 0.0

    def rows_with(self, stem: str) -> list[int]:
        """Return the rows that hold a stem."""
        return [row for row, stems in zip(self.rows, self._stems, strict=True) if stem in stems]

    def search(self, weights: Mapping[str, float], mean_length: float) -> tuple[Rows, Scores]:
        """Score the rows that share a stem with the query.

        Args:
            weights: idf of each stem of the query, times its frequency there.
            mean_length: mean number of stems of a row on disk (avgdl).

        Returns:
            rows (m,) and BM25 scores (m,), in the order of `rows`.
        """
        norms = K1 * (1 - B + B * self._lengths / max(mean_length, 1.0))
        scores: dict[int, float] = {}
        for row, stems, norm in zip(self.rows, self._stems, norms.tolist(), strict=True):
            for stem in weights.keys() & stems.keys():
                frequency = stems[stem]
                scores[row] = scores.get(row, 0.0) + weights[stem] * (1 + K1) * frequency / (frequency + norm)
        return np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32)
