"""End-to-end latency of a query in one process and one thread: encoding and search."""

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
        asks: name of the encoder of the questions.
        encode: one text -> its vector (1, dim), by one thread.
        vectors: of all questions (m, dim), by the same encoder; they are judged.
        system: what is searched.
    """

    query_encoder: str
    encode: Callable[[str], Matrix]
    vectors: Matrix
    system: OpenIndex

    @property
    def name(self) -> str:
        """In full."""
        return f"{self.query_encoder} asks {self.system.name}"

    def rows(self) -> Rows:
        """Return the rows (m, K) that all questions find."""
        assert self.system.search is not None
        return self.system.search(self.vectors, K)

    def time_stages(self, texts: Sequence[str], seconds: float, _: int) -> np.ndarray:
        """Return the milliseconds (m, 2) of encoding and of searching of as many texts as the seconds allow."""
        search, times = self.system.search, []
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
    judge: Callable[[Rows], float],
) -> Iterator[Result]:
    """Yield the percentiles a round of each path, the paths taking turns, and nDCG@10 of what it finds.

    Args:
        paths: each is walked with the texts.
        texts: the questions.
        n: documents searched.
        seconds: a slow path walks fewer texts in a round beyond.
        repeats: rounds.
        judge: nDCG@10 of the rows (m, K) that the questions found.
    """
    rounds = run_interleaved({path.name: partial(path.time_stages, texts, seconds) for path in paths}, repeats)
    for path in paths:
        listed = rounds[path.name]
        keys: dict[str, Any] = {**path.system.keys, "queries_encoder": path.query_encoder, "searched": path.system.name}
        keys |= {"queries_a_round": [len(times) for times in listed]}
        whole = [times.sum(axis=1) for times in listed]
        for percent in (50, 95, 99):
            values = [np.percentile(times, percent) for times in whole]
            yield measurement_at(path.name, n, f"whole path p{percent}", "ms", values, **keys)  # stored
        for column, part in enumerate(("encode", "search")):
            yield measurement_at(
                path.name, n, f"{part} p50", "ms", [np.median(times[:, column]) for times in listed], **keys
            )
        if path.system.is_judged:
            yield measurement_at(path.name, n, "whole path nDCG@10", "", [judge(path.rows())], **keys)  # stored
