"""Token lists to batches: long texts are cut into windows, and windows of equal length share a batch.

A batch of equal lengths needs no padding and no mask: no work is wasted, and a text gets the same vector in any
company.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix, unit_rows


@dataclass(frozen=True)
class Windows:
    """Consecutive parts of texts, each short enough for the model.

    Attributes:
        ids: token ids of each window, special tokens included.
        text: (n_windows,) position of the text that each window was cut from, ascending.
        weights: (n_windows,) tokens of text in each window; 1 for a text without any.
    """

    ids: list[list[int]]
    text: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def cut_windows(tokens: Sequence[list[int]], *, max_tokens: int, start: int, end: int) -> Windows:
    """Cut every text into windows of at most max_tokens tokens, each between the special tokens start and end.

    A text without tokens makes one window of the two special tokens.
    """
    ids, text, weights = [], [], []
    for position, of_text in enumerate(tokens):
        for first in range(0, max(1, len(of_text)), max_tokens):
            part = of_text[first : first + max_tokens]
            ids.append([start, *part, end])
            text.append(position)
            weights.append(max(1, len(part)))
    return Windows(ids, np.array(text, dtype=np.int64), np.array(weights, dtype=np.float32))


def equal_length_batches(ids: Sequence[list[int]], *, token_budget: int) -> Iterator[list[int]]:
    """Yield the positions of windows that share a batch: one length, at most token_budget tokens, longest first.

    A window that is longer than the budget is a batch by itself.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for position, window in enumerate(ids):
        by_length[len(window)].append(position)
    for length in sorted(by_length, reverse=True):
        positions, size = by_length[length], max(1, token_budget // length)
        for first in range(0, len(positions), size):
            yield positions[first : first + size]


def join_windows(vectors: Matrix, windows: Windows, *, n_texts: int) -> Matrix:
    """Return one unit vector (n_texts, dim) a text: the mean of its windows' vectors weighted by their tokens."""
    if len(vectors) == n_texts:
        return vectors
    sums = np.zeros((n_texts, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, windows.text, vectors * windows.weights[:, None])
    return unit_rows(sums)
