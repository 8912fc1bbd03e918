"""A Transformer as a model of texts of any length: windows, batches of equal length, several batches at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hpdsearch.common.forks import PerProcess
from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.batches import join_windows, length_batches, split_into_windows


class BackendSession(Protocol):
    """A Transformer loaded into onnxruntime, openvino or torch.

    Attributes:
        device: "cpu", or torch's name of a GPU: "cuda" or "mps".
        threads: number of calls that should run at once.
        token_budget: largest number of tokens that a call should hold.
    """

    device: str
    threads: int
    token_budget: int

    def __call__(self, ids: npt.NDArray[np.int64], /) -> Matrix:
        """Return the unit vectors float32 (n, dim) of windows of equal length, ids (n, tokens)."""


class TransformerModel:
    """Encodes texts in windows of max_tokens tokens; may be called from several threads at once."""

    def __init__(
        self,
        session: BackendSession,
        *,
        backend: str,
        dim: int,
        max_tokens: int,
        special_tokens: tuple[list[int], list[int]],
        pad_id: int = 0,
    ) -> None:
        """Wrap a session.

        Args:
            session: encodes batches of windows.
            backend: name of the session's backend.
            dim: width of its vectors.
            max_tokens: tokens of text in a window.
            special_tokens: the ids before and after each window.
            pad_id: see `split_into_windows`.
        """
        self.session = session
        self.backend = backend
        self.device = session.device
        self._dim = dim
        self._max_tokens = max_tokens
        self._before, self._after = special_tokens
        self._pad_id = pad_id
        self._threads = PerProcess(lambda: ThreadPoolExecutor(session.threads, thread_name_prefix="encode"))

    def __call__(self, tokens: Sequence[list[int]], bar: Bar, n_prompt: int = 0) -> Matrix:
        """Return the unit vectors float32 (n, dim) of n texts.

        Args:
            tokens: token ids of each text, without special tokens.
            bar: counts the texts.
            n_prompt: tokens of the prompt, the first ones of each text.
        """
        windows = split_into_windows(
            tokens,
            max_tokens=self._max_tokens,
            before=self._before,
            after=self._after,
            n_prompt=n_prompt,
            pad_id=self._pad_id,
        )
        is_last = np.append(windows.text[1:] != windows.text[:-1], True)
        vectors = np.empty((len(windows.ids), self._dim), dtype=np.float32)

        def run(batch: list[int]) -> int:
            vectors[batch] = self.session(np.array([windows.ids[position] for position in batch], dtype=np.int64))
            return int(is_last[batch].sum())

        lengths = [len(ids) for ids in windows.ids]
        batches = list(length_batches(lengths, token_budget=self.session.token_budget))
        if len(batches) == 1 or self.session.threads == 1:
            for batch in batches:
                bar.update(run(batch))
            return join_windows(vectors, windows, n_texts=len(tokens))
        threads = self._threads.get()
        futures = [threads.submit(run, batch) for batch in batches]
        try:
            for done in as_completed(futures):
                bar.update(done.result())
        finally:
            for future in futures:  # Ctrl-C leaves the remaining batches of the block undone
                future.cancel()
            wait(futures)
        return join_windows(vectors, windows, n_texts=len(tokens))
