"""Threads that use one core each.

The products over a few hundred dimensions of a student are too small to be split over cores: if another program uses
one of the cores, the others wait for it at every product. With a core per thread, results do not depend on the number
of cores.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """A pool of threads. Inside its context torch uses one core per thread, in the calling thread too."""

    def __init__(self, n_threads: int | None = None) -> None:
        """Set the number of threads; None for torch's own number. A GPU needs one. No thread is started yet."""
        self.n_cores = torch.get_num_threads()
        self.n_threads = n_threads or self.n_cores

    @classmethod
    def of_device(cls, device: str) -> "Workers":
        """Return one worker for each core, or one alone where torch computes on a GPU."""
        return cls(None if device == "cpu" else 1)

    def __enter__(self) -> "Workers":
        """Start the threads."""
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self.n_threads, initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the threads and restore torch's number of threads in the calling thread."""
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self.n_cores)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the function's results in the order of the items. Each thread has its own grad mode and autocast."""
        return list(self._pool.map(function, items))
