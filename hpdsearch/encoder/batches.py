"""Batches of token lists: long texts are split into windows, and sequences of similar length share a batch.

A batch of equal lengths needs no padding and no attention mask: no work is wasted, and the vector of a text does not
depend on the other texts. Encoders batch their windows so. The teacher and the student allow some padding, each by the
rule that was the fastest for its model. The result of a training depends on the composition and order of its batches.
"""

import math
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
        text: int64 (n_windows,), ascending: the position of the text that each window is part of.
        weights: float32 (n_windows,): tokens of text in each window, prompt not counted; 1 for a text without tokens.
    """

    ids: list[list[int]]
    text: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def split_into_windows(
    tokens: Sequence[list[int]],
    *,
    max_tokens: int,
    before: Sequence[int],
    after: Sequence[int],
    n_prompt: int = 0,
    pad_id: int = 0,
) -> Windows:
    """Split every text into windows of at most max_tokens tokens and set prompt and special tokens around each window.

    A text without tokens makes one window of prompt and special tokens.

    Args:
        tokens: token ids of each text, without special tokens, with the prompt.
        max_tokens: tokens of text in a window, >= 1.
        before: ids of the special tokens before each window.
        after: ids of the special tokens after each window.
        n_prompt: tokens of the prompt, the first ones of each text; every window begins with them.
        pad_id: id of the only token of a window that has no other.
    """
    ids = []
    text = []
    weights = []
    for position, text_ids in enumerate(tokens):
        prompt = text_ids[:n_prompt]
        for first in range(n_prompt, max(n_prompt + 1, len(text_ids)), max_tokens):
            part = text_ids[first : first + max_tokens]
            ids.append([*before, *prompt, *part, *after] or [pad_id])
            text.append(position)
            weights.append(max(1, len(part)))
    return Windows(ids, np.array(text, dtype=np.int64), np.array(weights, dtype=np.float32))


def length_batches(lengths: Sequence[int], *, token_budget: int, padding_share: float = 0) -> Iterator[list[int]]:
    """Yield batches of similar length, longest first, as positions in `lengths`; every position comes once.

    Without padding all lengths of a batch are equal. Equal lengths keep their order.

    Args:
        lengths: tokens of each sequence, special tokens included.
        token_budget: largest number of tokens in a batch, padding included. A longer sequence is a batch by itself.
        padding_share: largest share of token_budget that is padding, in 0..1.
    """
    batch: list[int] = []
    width = 0  # length of the longest sequence of the batch, its first one
    padding = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        padding += width - lengths[position]
        if batch and ((len(batch) + 1) * width > token_budget or padding > padding_share * token_budget):
            yield batch
            batch = []
        if not batch:
            width = lengths[position]
            padding = 0
        batch.append(position)
    if batch:
        yield batch


def length_ratio_batches(lengths: Sequence[int], *, token_budget: int, max_ratio: float) -> Iterator[list[int]]:
    """Yield batches of similar length, shortest first, as positions in `lengths`; every position comes once.

    Args:
        lengths: tokens of each sequence, special tokens included.
        token_budget: largest number of tokens in a batch, padding included. A longer sequence is a batch by itself.
        max_ratio: the longest sequence of a batch has at most max_ratio times the tokens of the shortest, plus one.
    """
    batch: list[int] = []
    longest_allowed = math.inf
    for position in sorted(range(len(lengths)), key=lambda position: lengths[position]):
        length = lengths[position]
        if batch and (length > longest_allowed or length * (len(batch) + 1) > token_budget):
            yield batch
            batch = []
        if not batch:
            longest_allowed = length * max_ratio + 1
        batch.append(position)
    if batch:
        yield batch


def join_windows(vectors: Matrix, windows: Windows, *, n_texts: int) -> Matrix:
    """Return the unit vector of each text: the mean of its windows' vectors, weighted by their tokens.

    Args:
        vectors: unit vectors (n_windows, dim).
        windows: of the same texts.
        n_texts: number of texts.

    Returns:
        float32 (n_texts, dim), in the order of the texts.
    """
    if len(vectors) == n_texts:
        return vectors
    totals = np.zeros((n_texts, vectors.shape[1]), dtype=np.float32)
    np.add.at(totals, windows.text, vectors * windows.weights[:, None])
    return unit_rows(totals)
