"""Build an index, or open one and ask it, in a process of its own, whose memory is nothing else's; prints JSON.

python -m benchmarks.scale.child build '{"vectors": "v.f16", "n": 1000, "dim": 128, "index": "i.faiss", "spec": {...}}'
python -m benchmarks.scale.child serve '{... as above, and "sha256": "...", "queries": "q.npy"}'
"""

import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.harness import peak_memory_bytes
from hpdsearch.common.progress import Bar, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import IndexSpec, RowMap, Segment, VectorFile, build_index

K = 10


class PhaseClock(Progress):
    """Takes the time of each phase of a work, by its name, in place of showing bars."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.total: float | None = None

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Begin a phase; phases do not overlap."""
        self._name, self._start = name, time.perf_counter()
        return self

    def update(self, n: float, /) -> None:
        """Count nothing."""

    def close(self) -> None:
        """End the phase."""
        self.seconds[self._name] += time.perf_counter() - self._start


def main() -> None:
    """Do what the first argument names with what the second describes."""
    work = {"build": build, "serve": serve}[sys.argv[1]]
    print(json.dumps(work(json.loads(sys.argv[2]))))


def build(asked: dict[str, Any]) -> dict[str, Any]:
    """Build an index file and tell what it took."""
    clock, start = PhaseClock(), time.perf_counter()
    vectors = VectorFile(Path(asked["vectors"]), asked["n"], asked["dim"])
    made = build_index(vectors, IndexSpec.from_dict(asked["spec"]), Path(asked["index"]), progress=clock)
    return {
        "seconds": time.perf_counter() - start,
        "phases": dict(clock.seconds),
        "peak_bytes": peak_memory_bytes(),
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "spec": made.spec.as_dict(),
        "curve": made.operating_points and made.operating_points.as_dict(),
    }


def serve(asked: dict[str, Any]) -> dict[str, Any]:
    """Open an index, ask it one query after the other, and tell by how much the resident memory grew."""
    queries = unit_rows(np.load(asked["queries"]))
    before = resident_bytes()
    start = time.perf_counter()
    vectors = VectorFile(Path(asked["vectors"]), asked["n"], asked["dim"])
    spec, rows = IndexSpec.from_dict(asked["spec"]), RowMap(0, asked["n"])
    segment = Segment.open(rows, vectors, spec, Path(asked["index"]), asked["sha256"])
    open_seconds = time.perf_counter() - start
    query_for(lambda query: segment.nearest(query[None], K), queries, asked.get("seconds", np.inf))
    return {"open_seconds": open_seconds, "grown": memory_growth(before)}


def query_for(ask: Callable[[Matrix], object], queries: Matrix, seconds: float) -> None:
    """Ask one query after the other, as many as the seconds allow."""
    end = time.perf_counter() + seconds
    for query in queries:
        ask(query)
        if time.perf_counter() > end:
            break


def memory_growth(before: dict[str, int]) -> dict[str, int]:
    """Return by how much this process's resident memory has grown, as `resident_bytes` told it."""
    after = resident_bytes()
    return {kind: after[kind] - before[kind] for kind in after}


def resident_bytes() -> dict[str, int]:
    """Return this process's resident memory: its own (anon), pages of files (file), and both."""
    status = Path("/proc/self/status").read_text()
    sizes = {kind: 1024 * int(size) for kind, size in re.findall(r"^Rss(Anon|File):\s+(\d+) kB$", status, re.MULTILINE)}
    return {"anon": sizes["Anon"], "file": sizes["File"], "all": sizes["Anon"] + sizes["File"]}


if __name__ == "__main__":
    main()
