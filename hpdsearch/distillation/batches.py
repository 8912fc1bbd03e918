"""Batches of texts of similar length, so that little of a batch is padding.

The teacher and the students batch by different rules. Each rule was measured to be the fastest for its model, and the
result of a training depends on its batches.
"""

from collections.abc import Iterator, Sequence


def length_batches(lengths: Sequence[int], *, token_budget: int, padding_share: float) -> Iterator[list[int]]:
    """Yield the positions of texts in batches, longest text first, every position once.

    A batch contains at most token_budget tokens, padding included, and at most padding_share * token_budget tokens of
    padding. A text that is longer than the budget is a batch of its own.

    Args:
        lengths: tokens of each text, special tokens included.
        token_budget: tokens of a batch.
        padding_share: in 0..1, of the budget.
    """
    batch: list[int] = []
    width = 0
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
    """Yield the positions of texts in batches, shortest text first, every position once.

    A batch contains at most token_budget tokens, padding included, and its longest text is at most one token longer
    than max_ratio times its shortest.

    Args:
        lengths: tokens of each text, special tokens included.
        token_budget: tokens of a batch.
        max_ratio: at least 1.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda position: lengths[position]):
        length = lengths[position]
        too_long = bool(batch) and length > lengths[batch[0]] * max_ratio + 1
        if batch and (too_long or length * (len(batch) + 1) > token_budget):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
