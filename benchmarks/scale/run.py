"""Measure the growth of latency, memory and build time with the corpus, beside exact search and the teacher's width.

The systems at each size are faiss's exact float32 search and IVF at the teacher's width, exact search at our width,
and every index type and codec of hpdsearch. Queries run one at a time on one thread, and the systems are interleaved.
Memory and building are measured in processes of their own. Batches of thousands of queries are compared with plain
faiss.

    python -m benchmarks.scale.run --vectors vectors/ --work work/  # scale/vectors.py describes the folder
    python -m benchmarks.scale.run --vectors vectors/ --work work/ --quick
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.common.harness import ROOT, argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, result, write_result
from benchmarks.scale import systems
from benchmarks.scale.figures import figures, measurement_at
from benchmarks.scale.plot import plot_scale
from benchmarks.scale.recall import K
from benchmarks.scale.systems import AUTO, LARGEST, SPECS, TEACHER_EXACT, TEACHER_IVF, System
from benchmarks.scale.timing import CORES, LEAST_QUERIES, batch_rate, single_query, time_queries
from benchmarks.scale.vectors import VectorFolder, describe_vectors, vector_file
from hpdsearch.dense import IndexSpec, VectorFile
from hpdsearch.encoder.space import read_space

SPACE = ROOT / "hpdsearch" / "encoders" / "spaces" / "all-mpnet-base-v2-256"
BATCHED = (AUTO, "ivf sq8", "ivf pq", "ivf rabitq", "flat pq")
BATCHED_UP_TO = 1_000_000
RECALL_TARGET = IndexSpec().ann_recall


def main() -> None:
    """Read the options, measure size by size, write the result after each."""
    options = read_options()
    source = VectorFolder(options.vectors)
    made: list[Result] = []
    curves: list[dict[str, Any]] = []
    for n in options.n:
        print(f"{n:,} vectors", flush=True)
        size = CorpusSizeRun(source, n, options)
        made += size.measure()
        curves += size.curves
        write(options, source, made, curves)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argument_parser(__doc__, "scale")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--vectors", type=Path, required=True, help="folder of vectors")
    parser.add_argument("--work", type=Path, required=True, help="folder for index files; they are kept")
    parser.add_argument("--n", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000], help="sizes")
    parser.add_argument("--dim", type=positive, default=128, help="dimensions of our vectors")
    parser.add_argument(
        "--space", type=Path, default=SPACE, help="space for the back-projection to the teacher's width"
    )
    parser.add_argument(
        "--queries",
        type=positive,
        default=1000,
        help="number of held-out queries, and of corpus vectors used as queries",
    )
    parser.add_argument("--batch", type=positive, default=10_000, help="queries per batch")
    parser.add_argument("--seconds", type=float, default=20, help="time limit of a round for a slow system")
    parser.add_argument(
        "--systems", nargs="+", choices=list(SPECS), default=list(SPECS), help="index types and codecs of hpdsearch"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="write and build existing files of the work folder again"
    )
    parser.add_argument("--quick", action="store_true", help="10,000 vectors, few queries, one round")
    options = parser.parse_args()
    if options.quick:
        options.n = [min(10_000, options.n[0])]
        options.queries = min(options.queries, 100)
        options.batch = min(options.batch, 200)
        options.repeats = 1
    return options


def write(
    options: argparse.Namespace, source: VectorFolder, made: Sequence[Result], curves: list[dict[str, Any]]
) -> None:
    """Write and draw the measurements made so far."""
    names = ("repeats", "n", "dim", "queries", "batch", "seconds", "rebuild")
    settings = describe_vectors(source, options.n) | {name: getattr(options, name) for name in names}
    settings |= {
        "queries are": "held-out web queries; recall also for vectors of the corpus, each left out of its own answer",
        "promise": RECALL_TARGET,  # stored key
        "single queries": f"one thread, {K} hits, at least {LEAST_QUERIES} queries per round for a slow system",
        "threads of batches": CORES,
        "teacher's width": "our vectors, back-projected by the transposed projection of the space: "
        "the cosines are the same, and so is the time of a scan",
        "not measured": [f"{name} beyond {largest:,}" for name, largest in LARGEST.items() if max(options.n) > largest],
    }
    growth, targets = figures(made)
    finished = result("scale", settings, [*made, *growth], targets) | {"curves": curves}
    write_result(finished, options.output)
    plot_scale(finished, options.output.parent)


class CorpusSizeRun:
    """The measurements at one number of vectors."""

    def __init__(self, source: VectorFolder, n: int, options: argparse.Namespace) -> None:
        self.source, self.n, self.options = source, n, options
        self.vectors: VectorFile = vector_file(source, n, options.dim, options.work, rebuild=options.rebuild)
        self.names = [name for name in options.systems if n <= LARGEST.get(name, n)]
        self.curves: list[dict[str, Any]] = []

    def path(self, name: str) -> Path:
        """Return the path of an index."""
        return self.vectors.path.with_name(f"{self.vectors.path.stem}-{name.replace(' ', '-')}.faiss")

    def measure(self) -> list[Result]:
        """Build, open and search every system."""
        options = self.options
        build = partial(systems.build_own, self.vectors, rebuild=options.rebuild)
        made = {name: build(SPECS[name], self.path(name)) for name in self.names}
        self.curves = [{"system": name, "n": self.n, **one["curve"]} for name, one in made.items() if one["curve"]]
        measured = [item for name, one in made.items() for item in self.measure_build(name, one)]
        measured += [item for name, one in made.items() for item in self.measure_memory(name, one)]
        measured += self.measure_latency(list(self.open_systems(made)))
        if self.n <= BATCHED_UP_TO:
            measured += [i for name, one in made.items() if name in BATCHED for i in self.measure_throughput(name, one)]
        return measured

    def measure_build(self, name: str, made: dict[str, Any]) -> Iterator[Result]:
        """Yield time, memory and size of a build."""
        yield measurement_at(name, self.n, "build", "s", [made["seconds"]])
        for phase, seconds in made["phases"].items():
            yield measurement_at(name, self.n, f"build, {phase}", "s", [seconds])
        yield measurement_at(name, self.n, "build, peak memory", "MB", [made["peak_bytes"] / 1e6])
        yield measurement_at(name, self.n, "index on disk", "MB", [made["size_bytes"] / 1e6])
        yield measurement_at(name, self.n, "vectors on disk", "MB", [self.vectors.path.stat().st_size / 1e6])

    def measure_memory(self, name: str, made: dict[str, Any]) -> Iterator[Result]:
        """Yield time and memory of opening and searching an index in a process of its own."""
        queries = self.options.work / f"queries-{self.options.queries}-dim-{self.options.dim}.npy"
        np.save(queries, self.source.queries(self.options.queries, self.options.dim))
        rounds = [systems.serve_own(self.vectors, made, self.path(name), queries) for _ in range(self.options.repeats)]
        yield measurement_at(name, self.n, "open", "s", [one["open_seconds"] for one in rounds])
        for kind, what in (("all", "resident memory"), ("anon", "resident, its own"), ("file", "resident, of files")):
            yield measurement_at(name, self.n, what, "MB", [one["grown"][kind] / 1e6 for one in rounds])

    def open_systems(self, made: dict[str, dict[str, Any]]) -> Iterator[System]:
        """Open all systems of this size."""
        options = self.options
        if self.n <= LARGEST[TEACHER_EXACT]:
            components = read_space(options.space).components
            nlist = max((one["spec"]["nlist"] for one in made.values()), default=0)
            n_queries = (options.queries, options.queries)
            yield from systems.open_teachers(
                self.source, components, self.n, nlist, n_queries, RECALL_TARGET, options.work
            )
        queries = systems.sample_queries(
            self.vectors, self.source.queries(options.queries, options.dim), options.queries
        )
        yield systems.exact(self.vectors, queries)
        for name, one in made.items():
            yield systems.open_own(name, self.vectors, one, self.path(name), queries)

    def measure_latency(self, opened: list[System]) -> Iterator[Result]:
        """Yield the latency of interleaved single queries, and the recall of each system."""
        passes = {
            system.name: partial(
                time_queries, single_query(system.search), system.queries.held_out, self.options.seconds
            )
            for system in opened
        }
        rounds = run_interleaved(passes, self.options.repeats)
        for system in opened:
            listed = rounds[system.name]
            about = {**system.about, "queries_a_round": [len(times) for times in listed]}
            for what, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
                values = [np.percentile(times, percent) for times in listed]
                yield measurement_at(system.name, self.n, f"query {what}", "ms", values, **about)
            faiss.omp_set_num_threads(CORES)
            corpus, held_out = system.queries.recall(system.search)
            yield measurement_at(system.name, self.n, f"ann_recall@{K}, corpus", "", [corpus])
            yield measurement_at(system.name, self.n, f"ann_recall@{K}, questions", "", [held_out])  # stored
            if "codes_bytes" in system.about:
                yield measurement_at(
                    system.name, self.n, "memory of its vectors", "MB", [system.about["codes_bytes"] / 1e6]
                )
        for slow in (TEACHER_EXACT, TEACHER_IVF, systems.EXACT):
            if slow in rounds:
                yield from times_as_fast(slow, rounds, self.n)

    def measure_throughput(self, name: str, made: dict[str, Any]) -> Iterator[Result]:
        """Yield queries per second of a batch, for hpdsearch and for plain faiss on the same file, interleaved."""
        queries = self.source.queries(self.options.batch, self.options.dim)
        spec = IndexSpec.from_dict(made["spec"])
        own = systems.open_search(self.vectors, made, self.path(name))
        raw = systems.raw_candidates(self.path(name), spec)
        rounds = run_interleaved(
            {
                "own": lambda _: batch_rate(lambda: own(queries, K), len(queries)),
                "raw": lambda _: batch_rate(lambda: raw(queries), len(queries)),
            },
            self.options.repeats,
        )
        yield measurement_at(name, self.n, "batch", "queries/s", rounds["own"])
        yield measurement_at(name, self.n, "batch, faiss alone", "queries/s", rounds["raw"])
        shares = [raw / own for own, raw in zip(rounds["own"], rounds["raw"], strict=True)]
        yield measurement_at(name, self.n, "batch, faiss alone / ours", "x", shares)


def times_as_fast(slow: str, rounds: dict[str, list[list[float]]], n: int) -> Iterator[Result]:
    """Yield the speed of each of our systems relative to a slow system, from the medians of each round."""
    for name in rounds:
        if name in SPECS:
            both = zip(rounds[slow], rounds[name], strict=True)
            yield measurement_at(
                name, n, f"times as fast as {slow}", "x", [np.median(a) / np.median(b) for a, b in both]
            )


if __name__ == "__main__":
    main()
