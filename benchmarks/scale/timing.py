"""Time single queries on one thread and batches on all threads, for every benchmark of search."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import faiss

from benchmarks.scale.recall import K, Rows
from hpdsearch.common.vectors import Matrix

LEAST_QUERIES = 20  # per round, for a system that is too slow for all queries
CORES = faiss.omp_get_max_threads()

Q = TypeVar("Q")


def single_query(search: Callable[[Matrix, int], Rows]) -> Callable[[Matrix], Rows]:
    """Turn a search of many vectors (m, dim) into one of a single vector (dim,), for K hits."""
    return lambda query: search(query[None], K)


def time_queries(search: Callable[[Q], object], queries: Iterable[Q], seconds: float, _: int) -> list[float]:
    """Return the milliseconds of each query, one at a time on one thread, until the time is over."""
    times: list[float] = []
    for query in queries:
        faiss.omp_set_num_threads(1)
        start = time.perf_counter()
        search(query)
        times.append((time.perf_counter() - start) * 1000)
        if sum(times) > seconds * 1000 and len(times) >= LEAST_QUERIES:
            break
    return times


def batch_rate(work: Callable[[], object], n: int) -> float:
    """Return the queries per second of one call that runs n queries on all threads."""
    faiss.omp_set_num_threads(CORES)
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)
