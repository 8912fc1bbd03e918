"""A Transformer as a model of whole texts: windows, batches of equal length, several at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.batches import cut_windows, equal_length_batches, join_windows


class Runner(Protocol):
    """What runs the Transformer: onnxruntime, openvino or torch.

    Attributes:
        threads: calls that should run at once.
        token_budget: tokens a call should hold at most.
    """

    threads: int
    token_budget: int

    def __call__(self, ids: npt.NDArray[np.int64], /) -> Matrix:
        """Return the unit vectors (n, dim) of windows of equal length, ids (n, tokens)."""


class TransformerModel:
    """Reads a text in windows of max_tokens tokens; may be called from several threads at once."""

    def __init__(self, runner: Runner, *, dim: int, max_tokens: int, around: tuple[int, int]) -> None:
        """Wrap a runner.

        Args:
            runner: runs batches of windows.
            dim: width of its vectors.
            max_tokens: tokens of text in a window.
            around: ids of the special tokens before and after each window.
        """
        self.runner = runner
        self._dim, self._max_tokens, self._around = dim, max_tokens, around

    def __call__(self, tokens: Sequence[list[int]], bar: Bar) -> Matrix:
        """Return one unit vector a text (n, dim); tokens are without special ones, bar counts the texts."""
        start, end = self._around
        windows = cut_windows(tokens, max_tokens=self._max_tokens, start=start, end=end)
        is_last = np.append(windows.text[1:] != windows.text[:-1], True)
        vectors = np.empty((len(windows.ids), self._dim), dtype=np.float32)

        def run(batch: list[int]) -> int:
            vectors[batch] = self.runner(np.array([windows.ids[position] for position in batch], dtype=np.int64))
            return int(is_last[batch].sum())

        batches = list(equal_length_batches(windows.ids, token_budget=self.runner.token_budget))
        if len(batches) == 1 or self.runner.threads == 1:
            for batch in batches:
                bar.update(run(batch))
            return join_windows(vectors, windows, n_texts=len(tokens))
        pool = ThreadPoolExecutor(self.runner.threads, thread_name_prefix="encode")
        try:
            for done in as_completed([pool.submit(run, batch) for batch in batches]):
                bar.update(done.result())
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C the rest of the block is not worked off
        return join_windows(vectors, windows, n_texts=len(tokens))
