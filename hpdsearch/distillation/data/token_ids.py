"""The token ids of many texts in one array: 2 bytes per id and 8 per text, where a list takes a hundred per text."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt


class TokenIds(Sequence[list[int]]):
    """A sequence of lists of token ids, made when they are asked for.

    Args:
        blocks: the token ids of some texts each.
        n_tokens: size of the vocabulary; every id is less.
    """

    def __init__(self, blocks: Iterable[Sequence[Sequence[int]]], *, n_tokens: int) -> None:
        dtype = np.uint16 if n_tokens <= 2**16 else np.int32
        parts: list[npt.NDArray[Any]] = [np.empty(0, dtype=dtype)]
        lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
        for block in blocks:
            parts.append(np.array([token for ids in block for token in ids], dtype=dtype))
            lengths.append(np.array([len(ids) for ids in block], dtype=np.int64))
        self._flat = np.concatenate(parts)
        self._ends = np.concatenate(lengths).cumsum()  # of each text in the flat array, behind a 0

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[list[int]]:
        return (self[position] for position in range(len(self)))

    @overload
    def __getitem__(self, position: int) -> list[int]: ...

    @overload
    def __getitem__(self, position: slice) -> "list[list[int]]": ...

    def __getitem__(self, position: int | slice) -> "list[int] | list[list[int]]":
        """Return the ids of a text, or a list of those of several."""
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        position %= len(self)
        ids: list[int] = self._flat[self._ends[position] : self._ends[position + 1]].tolist()
        return ids

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each text, (n,)."""
        return np.diff(self._ends)

    def counts(self, n_tokens: int) -> npt.NDArray[np.int64]:
        """Return how often each token occurs, (n_tokens,)."""
        return np.bincount(self._flat, minlength=n_tokens)
