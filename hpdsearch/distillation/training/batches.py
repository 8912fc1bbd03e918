"""The order of the training texts: batches of texts that are near in the space."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix

PART = 2**16  # texts whose targets are in memory at once


def group_near_texts(
    targets: np.ndarray, group_size: int, rng: np.random.Generator, *, part_size: int = PART
) -> npt.NDArray[np.int64]:
    """Return all positions in random order, but with texts that are near in the space next to each other.

    The texts are split in half along the line between two random ones until no group is larger than group_size.

    Args:
        targets: unit vectors (n, dim), in memory or memory-mapped.
        group_size: size of the largest group; 1 for a plain permutation.
        rng: draws the lines and the order of the groups.
        part_size: more texts than this are first divided into random parts, of which one is in memory at once.
    """
    order = rng.permutation(len(targets))
    if group_size == 1:
        return order
    groups: list[npt.NDArray[np.int64]] = []
    for part in np.array_split(order, -(-len(order) // part_size)):
        ascending = np.sort(part)  # a file is read from its beginning to its end
        rows = np.asarray(targets[ascending], dtype=np.float32)
        groups += [ascending[group] for group in _split_near(rows, np.searchsorted(ascending, part), group_size, rng)]
    return np.concatenate([groups[position] for position in rng.permutation(len(groups))])


def _split_near(
    rows: Matrix, order: npt.NDArray[np.int64], group_size: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the groups of texts that are near, as positions in (n, dim) rows, from a random order of all positions."""
    unsplit = [order]
    while unsplit:
        group = unsplit.pop()
        if len(group) <= group_size:
            yield group
            continue
        one, other = rows[rng.choice(group, 2, replace=False)]
        order = group[np.argsort(rows[group] @ (one - other), kind="stable")]
        unsplit += [order[: len(order) // 2], order[len(order) // 2 :]]
