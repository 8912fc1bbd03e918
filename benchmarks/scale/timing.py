"""Time single queries on one thread and batches on all threads, for every benchmark of search."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import faiss

from benchmarks.scale.recall import K, Rows
from hpdsearch.common.vectors import Matrix

LEAST_QUERIES = 20  # of a system that is too slow for all
CORES = faiss.omp_get_max_threads()

Q = TypeVar("Q")


def single_query(search: Callable[[Matrix, int], Rows]) -> Callable[[Matrix], Rows]:
    """Return the search of many vectors (m, dim) as that of one (dim,), for K hits."""
    return lambda query: search(query[None], K)


def time_queries(ask: Callable[[Q], object], questions: Sequence[Q], seconds: float, _: int) -> list[float]:
    """Return the milliseconds of each question, asked one at a time by one thread, as many as the seconds allow."""
    times: list[float] = []
    for question in questions:
        faiss.omp_set_num_threads(1)
        start = time.perf_counter()
        ask(question)
        times.append((time.perf_counter() - start) * 1000)
        if sum(times) > seconds * 1000 and len(times) >= LEAST_QUERIES:
            break
    return times


def batch_rate(work: Callable[[], object], n: int) -> float:
    """Return the questions a second of one call that asks n of them, by all threads."""
    faiss.omp_set_num_threads(CORES)
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)
