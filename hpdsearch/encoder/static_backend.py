"""A static encoder, as in model2vec: one vector per token, and the vector of a text is their mean.

numpy is fast enough: tokenizing takes most of the time.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.encoder.folder import WEIGHTS
from hpdsearch.encoder.weights import load_weights

TABLE = "embedding.weight"  # the name in sentence-transformers' StaticEmbedding
GATHERED_TOKENS = 1024  # tokens of a text whose rows are gathered at once; bounds the memory for a long text


class StaticModel:
    """Averages the token vectors of texts of any length; may be called from several threads at once."""

    backend = "numpy"
    device = "cpu"

    def __init__(self, folder: Path) -> None:
        # As float32: gathering int8 rows and scaling them took twice as long.
        self._table = load_weights(folder / WEIGHTS)[TABLE]
        self._no_tokens = self._table.mean(axis=0)

    def __call__(self, tokens: Sequence[list[int]], bar: Bar, n_prompt: int = 0) -> Matrix:
        """Return the unit vectors float32 (n, dim) of n texts: the normalized sums of their tokens' rows.

        A text whose rows sum to zero, such as one without tokens, gets the normalized mean of the table's rows.

        Args:
            tokens: token ids of each text, without special tokens.
            bar: counts the texts.
            n_prompt: of no influence: the tokens of a prompt are averaged as those of the text are.
        """
        totals = np.zeros((len(tokens), self._table.shape[1]), dtype=np.float32)
        for total, ids in zip(totals, tokens, strict=True):
            for first in range(0, len(ids), GATHERED_TOKENS):
                total += np.add.reduce(self._table.take(ids[first : first + GATHERED_TOKENS], axis=0), axis=0)
        totals[~totals.any(axis=1)] = self._no_tokens
        bar.update(len(tokens))
        return unit_rows(totals)
