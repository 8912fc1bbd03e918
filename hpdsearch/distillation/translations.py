"""The quality of translations: whether the vector of a held-out translation is nearest to that of its own text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.data.parallel import Pair


@dataclass(frozen=True)
class TranslationQuality:
    """Measurements on held-out parallel texts.

    Attributes:
        n_texts: held-out texts among which the text of each translation is searched.
        counts: translations by language.
        found: share of them whose nearest text is their own, 0..1, by language.
    """

    n_texts: int
    counts: Mapping[str, int]
    found: Mapping[str, float]

    @property
    def n_pairs(self) -> int:
        """The number of translations."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """The share over all translations, 0..1."""
        return sum(self.found[name] * count for name, count in self.counts.items()) / self.n_pairs


def measure_translations(
    pairs: Sequence[Pair], texts: Sequence[str], text_vectors: Matrix, translation_vectors: Matrix
) -> TranslationQuality:
    """Search the text of each translation among the held-out texts.

    Args:
        pairs: n held-out pairs, n >= 1; each text is among `texts`.
        texts: m held-out texts, distinct.
        text_vectors: of the texts (m, dim).
        translation_vectors: of the translations (n, dim).
    """
    row_of = {text: row for row, text in enumerate(texts)}
    nearest = (unit_rows(translation_vectors) @ unit_rows(text_vectors).T).argmax(axis=1)
    hits: dict[str, list[bool]] = defaultdict(list)
    for pair, row in zip(pairs, nearest, strict=True):
        hits[pair.language].append(bool(row == row_of[pair.text]))
    names = sorted(hits)
    return TranslationQuality(
        n_texts=len(texts),
        counts={name: len(hits[name]) for name in names},
        found={name: float(np.mean(hits[name])) for name in names},
    )
