"""Build an index, or open and search one, in a process of its own, so that its memory can be measured; print JSON.

python -m benchmarks.scale.child build '{"vectors": "v.f16", "n": 1000, "dim": 128, "index": "i.faiss", "spec": {...}}'
python -m benchmarks.scale.child serve '{... as above, and "sha256": "...", "queries": "q.npy"}'
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.machine import peak_memory_bytes, resident_bytes
from hpdsearch.common.progress import Bar, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import IndexSpec, RowMap, Segment, VectorFile, build_index

K = 10


class PhaseClock(Progress):
    """Measure the seconds of each phase by its name, instead of showing bars."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.total: float | None = None

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Start a phase; phases do not overlap."""
        self._name = name
        self._start = time.perf_counter()
        return self

    def update(self, n: float, /) -> None:
        """Do nothing: there is no bar."""

    def close(self) -> None:
        """End the phase."""
        self.seconds[self._name] += time.perf_counter() - self._start


def main() -> None:
    """Run the task of the first argument with the JSON of the second, and print its report."""
    task = {"build": build, "serve": serve}[sys.argv[1]]
    print(json.dumps(task(json.loads(sys.argv[2]))))


def build(task: dict[str, Any]) -> dict[str, Any]:
    """Build an index file; return times, memory, size, spec and operating points."""
    clock = PhaseClock()
    start = time.perf_counter()
    vectors = VectorFile(Path(task["vectors"]), task["n"], task["dim"])
    made = build_index(vectors, IndexSpec.from_dict(task["spec"]), Path(task["index"]), progress=clock)
    return {
        "seconds": time.perf_counter() - start,
        "phases": dict(clock.seconds),
        "peak_bytes": peak_memory_bytes(),
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "spec": made.spec.as_dict(),
        "curve": made.operating_points and made.operating_points.as_dict(),
    }


def serve(task: dict[str, Any]) -> dict[str, Any]:
    """Open an index and search it; return the seconds of opening and the growth of resident memory."""
    queries = unit_rows(np.load(task["queries"]))
    before = resident_bytes()
    start = time.perf_counter()
    vectors = VectorFile(Path(task["vectors"]), task["n"], task["dim"])
    spec = IndexSpec.from_dict(task["spec"])
    rows = RowMap(0, task["n"])
    segment = Segment.open(rows, vectors, spec, Path(task["index"]), task["sha256"])
    open_seconds = time.perf_counter() - start
    run_queries(lambda query: segment.nearest(query[None], K), queries, task.get("seconds", np.inf))
    return {"open_seconds": open_seconds, "grown": memory_growth(before)}


def run_queries(search: Callable[[Matrix], object], queries: Matrix, seconds: float) -> None:
    """Run one query after the other until the time is over."""
    end = time.perf_counter() + seconds
    for query in queries:
        search(query)
        if time.perf_counter() > end:
            break


def memory_growth(before: dict[str, int]) -> dict[str, int]:
    """Return the growth of this process's resident memory since `before`, a value of `resident_bytes`."""
    after = resident_bytes()
    return {kind: after[kind] - before[kind] for kind in after}


if __name__ == "__main__":
    main()
