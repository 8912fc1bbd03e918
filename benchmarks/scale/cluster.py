"""Compare a build on a Ray cluster with builds without one, of the same texts: time, actors, and bits of the index.

The cluster runs on this machine, with a node for each encoding actor of one core. It is started before the clock.

    python -m benchmarks.scale.cluster --texts texts.txt --work work/ --n 200000
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common.harness import argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, measurement, ratios, result, target, write_result
from benchmarks.scale.shards import make_texts, read_texts
from hpdsearch import Index
from hpdsearch.cluster.ray.build import build_on_ray
from hpdsearch.cluster.ray.connection import require_ray
from hpdsearch.cluster.ray.runner import RayRunner
from hpdsearch.common.progress import Bar
from hpdsearch.corpus import read_corpus
from hpdsearch.index.shards.build import ShardedBuild
from hpdsearch.index.shards.jobs import BuildJob
from hpdsearch.index.shards.spool import SpooledShard
from hpdsearch.indexer.ingest import IngestReport

SHARDS = 4
ACTORS = (1, 2)
PLAIN = "hpdsearch index"
SHARDED = f"hpdsearch index --shards {SHARDS}"
MIN_GAIN = 1.7  # of a second actor
MAX_OVERHEAD = 1.25  # of a build on a cluster
STORE_BYTES = 200 * 2**20
BATCH_DIFFERENCE = 2e-3  # of float16 components below 1, whose texts were encoded in other batches or threads


@dataclass(frozen=True)
class TimedRunner(RayRunner):
    """Runs a build on Ray and notes the seconds of encoding.

    Attributes:
        encoding: seconds of the encoding of each build.
    """

    encoding: list[float] = field(default_factory=list)

    def prepare(
        self, folder: Path, jobs: Sequence[BuildJob], shards: Sequence[SpooledShard], bar: Bar, report: IngestReport
    ) -> list[BuildJob]:
        """Encode the blocks."""
        start = time.perf_counter()
        prepared = super().prepare(folder, jobs, shards, bar, report)
        self.encoding.append(time.perf_counter() - start)
        return prepared


def main() -> None:
    """Read the options, build, compare, write the result."""
    parser = argument_parser(__doc__, "cluster")
    parser.add_argument("--texts", type=Path, help="a text per line; without it, texts of random words")
    parser.add_argument("--work", type=Path, required=True, help="folder for the indexes; they are kept")
    parser.add_argument("--n", type=positive, default=20_000, help="number of texts")
    parser.add_argument("--encoder", default="small", help="encoder of the texts")
    options = parser.parse_args()
    require_ray()
    options.work.mkdir(parents=True, exist_ok=True)
    texts = read_texts(options.texts, options.n) if options.texts else make_texts(options.n)
    corpus = (options.work / "texts.txt").absolute()
    corpus.write_text("".join(f"{text}\n" for text in texts))
    folders = {name: (options.work / place).absolute() for name, place in ((PLAIN, "plain"), (SHARDED, "shards"))}
    runners = {name_case(n): TimedRunner(n) for n in ACTORS}
    with start_nodes(max(ACTORS)):
        builds = {name: partial(build, corpus, folder, options.encoder) for name, folder in folders.items()}
        for name, runner in runners.items():
            folders[name] = (options.work / f"ray-{runner.n_actors}").absolute()
            builds[name] = partial(build_cluster, corpus, folders[name], options.encoder, runner)
        seconds = run_interleaved(builds, options.repeats, warm_up=False)  # each takes minutes
    one, two = map(name_case, ACTORS)
    encoding = {name: runner.encoding[-options.repeats :] for name, runner in runners.items()}
    measurements = [measurement(f"build, {name}", "s", each) for name, each in seconds.items()]
    measurements += [measurement(f"encoding, {name}", "s", each) for name, each in encoding.items()]
    gain = ratios("encoding, 1 actor / 2 actors", encoding[one], encoding[two])
    overhead = ratios(f"build, {two} / {PLAIN}", seconds[two], seconds[PLAIN])
    measurements += [gain, overhead, ratios(f"build, {two} / {SHARDED}", seconds[two], seconds[SHARDED])]
    measurements += compare(folders[SHARDED], folders[two])
    settings = {name: getattr(options, name) for name in ("repeats", "n", "encoder")}
    settings |= {"texts": options.texts.name if options.texts else "random words", "shards": SHARDS}
    targets = [target(gain, at_least=MIN_GAIN), target(overhead, at_most=MAX_OVERHEAD)]
    write_result(result("cluster", settings, measurements, targets), options.output)


def name_case(n_actors: int) -> str:
    """Return the name of a build on Ray."""
    return f"Ray, {n_actors} actor{'s' if n_actors > 1 else ''}"


@contextmanager
def start_nodes(n: int) -> Iterator[None]:
    """Start a cluster with n nodes of one core each, and connect to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    )
    try:
        for _ in range(n):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        ray.init(cluster.address, namespace="hpdsearch", log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def build(corpus: Path, folder: Path, encoder: str, _: int) -> float:
    """Build an index again by the command line; return the seconds that it took."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hpdsearch", "index", str(corpus), "-o", str(folder), "--encoder", encoder]
    command += ["--no-draft", *(["--shards", str(SHARDS)] if folder.name == "shards" else [])]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def build_cluster(corpus: Path, folder: Path, encoder: str, runner: TimedRunner, _: int) -> float:
    """Build an index again on the cluster; return the seconds that it took."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    how = ShardedBuild(SHARDS, runner.n_actors)
    build_on_ray(folder, read_corpus(corpus), how, encoder=encoder, runner=runner).close()
    return time.perf_counter() - start


def compare(expected: Path, found: Path) -> list[Result]:
    """Compare all documents and vectors of two indexes.

    Raises:
        AssertionError: ids, texts, metadata or passages differ, or vectors by more than other batches explain.
    """
    equal = 0
    n = 0
    largest = 0.0
    with Index.open(expected) as one, Index.open(found) as other:
        assert len(one) == len(other), f"{len(one)} and {len(other)} documents"
        for left, right in zip(one.documents(), other.documents(), strict=True):
            assert left == right, f"{left.doc_id} differs from {right.doc_id}"
            difference = np.abs(np.asarray(left.vectors) - np.asarray(right.vectors)).max()
            equal += int(difference == 0)
            n += 1
            largest = max(largest, float(difference))
    assert largest <= BATCH_DIFFERENCE, f"vectors differ by {largest}"
    return [
        measurement("documents with equal bits", "share", [equal / n]),
        measurement("largest difference of a component", "1", [largest]),
    ]


if __name__ == "__main__":
    main()
