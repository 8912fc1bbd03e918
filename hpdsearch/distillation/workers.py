"""Threads of one core each: faster than one product spread over cores, and its result does not depend on how many."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """As many threads as torch takes cores; until their end torch takes one core a thread, in the caller's thread too.

    Products over a student's few hundred numbers are too small to be shared by cores: with another program on one of
    them, the other waits at every product.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        """Take torch's number of threads, or another (a GPU wants one); nothing is started yet."""
        self.n_cores = torch.get_num_threads()
        self.n_threads = n_threads or self.n_cores

    def __enter__(self) -> "Workers":
        """Start the threads."""
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self.n_threads, initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the threads and give the caller's thread its cores back."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self.n_cores)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the function's results in the order of the items; grad modes and autocast are each thread's own."""
        return list(self._pool.map(function, items))
