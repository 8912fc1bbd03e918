"""A static encoder: one vector a token, a text is their mean. numpy is enough; tokenizing takes most of the time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.encoder.folder import WEIGHTS
from hpdsearch.encoder.weights import load_weights

TABLE = "embedding.weight"  # the name that sentence-transformers' StaticEmbedding has for it
AT_ONCE = 1024  # tokens of a text gathered at once; bounds the memory that a long one takes


class StaticModel:
    """Adds the token vectors of texts of any length; may be called from several threads at once."""

    def __init__(self, folder: Path) -> None:
        # float32: gathering int8 rows and scaling them took twice as long.
        self._table = load_weights(folder / WEIGHTS)[TABLE]
        self._no_tokens = self._table.mean(axis=0)

    def __call__(self, tokens: Sequence[list[int]], bar: Bar) -> Matrix:
        """Return one unit vector a text (n, dim): the mean of its tokens' rows, which has the direction of their sum.

        A text whose rows sum up to nothing, such as one without tokens, gets the direction of the table's mean.
        """
        sums = np.zeros((len(tokens), self._table.shape[1]), dtype=np.float32)
        for total, ids in zip(sums, tokens, strict=True):
            for first in range(0, len(ids), AT_ONCE):
                total += np.add.reduce(self._table.take(ids[first : first + AT_ONCE], axis=0), axis=0)
        sums[~sums.any(axis=1)] = self._no_tokens
        bar.update(len(tokens))
        return unit_rows(sums)
