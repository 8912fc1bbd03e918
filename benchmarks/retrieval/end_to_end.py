"""Measure the end-to-end latency of a query, encoding and search, in one process on one thread."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import faiss
import numpy as np

from benchmarks.common.harness import run_interleaved
from benchmarks.common.results import Result
from benchmarks.retrieval.systems import OpenIndex
from benchmarks.scale.figures import measurement_at
from benchmarks.scale.recall import K, Rows
from benchmarks.scale.timing import LEAST_QUERIES
from hpdsearch.common.vectors import Matrix


@dataclass(frozen=True)
class EndToEnd:
    """A query encoder and an index.

    Attributes:
        query_encoder: name of the query encoder.
        encode: one text -> its vector (1, dim), on one thread.
        vectors: vectors (m, dim) of all queries by the same encoder, for nDCG@10.
        system: the index.
    """

    query_encoder: str
    encode: Callable[[str], Matrix]
    vectors: Matrix
    system: OpenIndex

    @property
    def name(self) -> str:
        """Return the name in results; `common.labels` makes its label."""
        return f"{self.query_encoder} asks {self.system.name}"  # stored

    def rows(self) -> Rows:
        """Return the found rows (m, K) of all queries."""
        assert self.system.search is not None
        return self.system.search(self.vectors, K)

    def time_stages(self, texts: Sequence[str], seconds: float, _: int) -> np.ndarray:
        """Return the milliseconds (m, 2) of encoding and search per text, until the time is over."""
        search = self.system.search
        times = []
        assert search is not None
        end = time.perf_counter() + seconds
        faiss.omp_set_num_threads(1)
        for text in texts:
            start = time.perf_counter()
            vector = self.encode(text)
            between = time.perf_counter()
            search(vector, K)
            done = time.perf_counter()
            times.append((between - start, done - between))
            if done > end and len(times) >= LEAST_QUERIES:
                break
        return np.array(times) * 1000


def measure_paths(
    paths: Sequence[EndToEnd],
    texts: Sequence[str],
    n: int,
    *,
    seconds: float,
    repeats: int,
    evaluate: Callable[[Rows], float],
) -> Iterator[Result]:
    """Yield percentiles per round of each path, with interleaved paths, and the nDCG@10 of each path.

    Args:
        paths: query encoders with an index.
        texts: the queries.
        n: number of documents.
        seconds: time limit of a round for a slow path.
        repeats: number of rounds.
        evaluate: found rows (m, K) of the queries -> nDCG@10.
    """
    rounds = run_interleaved({path.name: partial(path.time_stages, texts, seconds) for path in paths}, repeats)
    for path in paths:
        listed = rounds[path.name]
        keys: dict[str, Any] = {
            **path.system.keys,
            "queries_encoder": path.query_encoder,
            "searched": path.system.name,
        }  # stored
        keys |= {"queries_a_round": [len(times) for times in listed]}
        totals = [times.sum(axis=1) for times in listed]
        for percent in (50, 95, 99):
            values = [np.percentile(times, percent) for times in totals]
            yield measurement_at(path.name, n, f"whole path p{percent}", "ms", values, **keys)  # stored
        for column, part in enumerate(("encode", "search")):
            yield measurement_at(
                path.name, n, f"{part} p50", "ms", [np.median(times[:, column]) for times in listed], **keys
            )
        if path.system.is_judged:
            yield measurement_at(path.name, n, "whole path nDCG@10", "", [evaluate(path.rows())], **keys)  # stored
