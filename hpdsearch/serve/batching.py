"""Search in threads; concurrent queries with equal options are searched in one call.

No query waits for others to come: a thread that becomes free takes those that came while it was busy
(docs/decisions/0062-serving.md).
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpdsearch.records import Hit
from hpdsearch.search import Mode
from hpdsearch.serve.encoders import encoding_time

MAX_BATCH = 32  # queries of several requests that are searched together


@dataclass(frozen=True)
class SearchOptions:
    """The options of `Index.search` beside the queries."""

    k: int = 10
    mode: Mode = Mode.HYBRID
    where: str | None = None
    ann_recall: float | None = None
    min_score: float | None = None
    explain: bool = False


@dataclass(frozen=True)
class Answer:
    """Hits for each query of a request, and the milliseconds that each query took.

    Attributes:
        hits: a list for each query.
        milliseconds: of the search.
        encode_milliseconds: of these, what encoding took.
    """

    hits: list[list[Hit]]
    milliseconds: float
    encode_milliseconds: float = 0.0


Search = Callable[[Sequence[str], SearchOptions], list[list[Hit]]]


@dataclass(eq=False)
class _Task:
    texts: Sequence[str]
    options: SearchOptions
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Answer]"


class SearchQueue:
    """The searches of one index that wait for a thread."""

    def __init__(self, search: Search, *, n_threads: int, on_batch: Callable[[int], object] | None = None) -> None:
        """Start the threads.

        Args:
            search: searches with several queries.
            n_threads: searches that run at the same time.
            on_batch: is told the number of queries of each call.
        """
        self._search = search
        self._on_batch = on_batch
        self._tasks: deque[_Task] = deque()
        self._is_closed = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"search-{n}") for n in range(n_threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, texts: Sequence[str], options: SearchOptions) -> Answer:
        """Search with the queries of one request.

        Raises:
            HpdsearchError: as Index.search does.
        """
        loop = asyncio.get_running_loop()
        task = _Task(texts, options, loop, loop.create_future())
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the queue is closed")
            self._tasks.append(task)
            self._changed.notify()
        return await task.answer

    def close(self) -> None:
        """Answer what is queued, then stop the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            texts = [text for task in batch for text in task.texts]
            start = time.perf_counter()
            encoding_start = encoding_time.seconds
            try:
                found = self._search(texts, batch[0].options)
            except BaseException as error:  # the requests answer it
                _deliver(batch, [error] * len(batch))
                continue
            milliseconds = (time.perf_counter() - start) * 1000 / len(texts)
            encode_milliseconds = (encoding_time.seconds - encoding_start) * 1000 / len(texts)
            if self._on_batch is not None:
                self._on_batch(len(texts))
            remaining = iter(found)
            answers = [
                Answer([next(remaining) for _ in task.texts], milliseconds, encode_milliseconds) for task in batch
            ]
            _deliver(batch, answers)

    def _take(self) -> list[_Task]:
        """Wait for a task; return it with those that can be searched in the same call, or nothing at the end."""
        with self._changed:
            while not self._tasks and not self._is_closed:
                self._changed.wait()
            batch: list[_Task] = []
            n_queries = 0
            others: deque[_Task] = deque()
            for task in self._tasks:
                fits = n_queries + len(task.texts) <= MAX_BATCH and task.options == batch[0].options if batch else True
                (batch if fits else others).append(task)
                n_queries += len(task.texts) if fits else 0
            self._tasks = others
            return batch


def _deliver(batch: Sequence[_Task], results: Sequence[Answer | BaseException]) -> None:
    """Hand results to the event loops of the requests, one call for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Task, Answer | BaseException]]] = {}
    for pair in zip(batch, results, strict=True):
        by_loop.setdefault(pair[0].loop, []).append(pair)
    for loop, pairs in by_loop.items():
        loop.call_soon_threadsafe(_set_results, pairs)


def _set_results(pairs: Sequence[tuple[_Task, Answer | BaseException]]) -> None:
    for task, result in pairs:
        if task.answer.done():  # the client is gone
            continue
        if isinstance(result, BaseException):
            task.answer.set_exception(result)
        else:
            task.answer.set_result(result)
