"""The measurements of the retrieval benchmark at one corpus size."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import faiss
import numpy as np

from benchmarks.common.harness import run_interleaved
from benchmarks.common.ir_metrics import NDCG, evaluate_run
from benchmarks.common.results import Result
from benchmarks.retrieval.bm25 import open_lexical
from benchmarks.retrieval.end_to_end import measure_paths
from benchmarks.retrieval.faiss_baselines import FLAT
from benchmarks.retrieval.models import Models
from benchmarks.retrieval.systems import TEACHER, OpenIndex, VectorIndex, vector_indexes
from benchmarks.retrieval.vectors import Texts
from benchmarks.scale.figures import find_measurement, measurement_at
from benchmarks.scale.recall import K, Rows
from benchmarks.scale.timing import CORES, batch_rate, time_queries

MEMORY_ROUNDS = 2
FASTER, SMALLER = f"times as fast as {TEACHER}, {FLAT}", f"times less memory than {TEACHER}, {FLAT}"


class CorpusSizeRun:
    """The measurements of the first n documents."""

    def __init__(self, n: int, texts: Texts, models: Models, options: argparse.Namespace) -> None:
        self.n = n
        self.texts = texts
        self.models = models
        self.options = options

    def measure(self) -> list[Result]:
        """Build every system, measure its memory, then open and search it."""
        options = self.options
        indexes = list(vector_indexes(self.models.groups(self.n), self.n, options.work, rebuild=options.rebuild))
        measured = [one for index in indexes for one in self.measure_build(index)]
        measured += self.measure_memory(indexes)
        with ExitStack() as stack:
            opened = [index.open() for index in indexes]
            if self.n == options.others_at:
                group, encoder = self.models.group(self.models.wide), self.models.encoder
                about = (self.texts, group, encoder, self.n, options.work, stack)
                more, rows = open_lexical(*about, rebuild=options.rebuild)
                opened, measured = opened + more, measured + rows
            measured += self.measure_latency(opened)
            measured += self.measure_quality(opened)
            measured += self.measure_throughput(opened, measured)
            paths = self.models.paths(opened, stack)
            times = {"seconds": options.seconds, "repeats": options.repeats}
            measured += measure_paths(paths, self.texts.query_texts, self.n, **times, evaluate=self.ndcg)
        return [*measured, *self.ratios(measured, [one.name for one in opened if one.is_ours])]

    def measure_build(self, index: VectorIndex) -> Iterator[Result]:
        """Build an index and yield its time and sizes."""
        index.build(rebuild=self.options.rebuild)
        size = index.made["size_bytes"]
        file = index.corpus.file.path
        found = {"build": ("s", index.made["seconds"]), "index on disk": ("MB", size / 1e6)}
        found |= {"vectors on disk": ("MB", file.stat().st_size / 1e6)} if index.needs_vectors else {}
        found |= {"bytes a document": ("B", size / self.n)}
        for what, (unit, value) in found.items():
            yield measurement_at(index.name, self.n, what, unit, [value], **index.keys)

    def measure_memory(self, indexes: Sequence[VectorIndex]) -> Iterator[Result]:
        """Yield the memory of each index in processes of its own, interleaved."""
        cases = {index.name: partial(_serve, index) for index in indexes}
        repeats = 1 if self.options.quick else min(MEMORY_ROUNDS, self.options.repeats)
        rounds = run_interleaved(cases, repeats, warm_up=False)
        for index in indexes:
            listed = rounds[index.name]
            for kind, what in (("all", "resident memory"), ("anon", "resident, its own"), ("file", "resident, files")):
                yield measurement_at(index.name, self.n, what, "MB", [one[kind] / 1e6 for one in listed], **index.keys)

    def measure_latency(self, opened: Sequence[OpenIndex]) -> Iterator[Result]:
        """Yield the latency of single queries, with interleaved systems."""
        cases = {one.name: partial(time_queries, one.search_one, one.queries, self.options.seconds) for one in opened}
        rounds = run_interleaved(cases, self.options.repeats)
        for one in opened:
            listed = rounds[one.name]
            about = {**one.keys, **one.about, "queries_a_round": [len(times) for times in listed]}
            for percent in (50, 95, 99):
                values = [np.percentile(times, percent) for times in listed]
                yield measurement_at(one.name, self.n, f"query p{percent}", "ms", values, **about)

    def measure_quality(self, opened: Sequence[OpenIndex]) -> Iterator[Result]:
        """Yield ann_recall@10 and nDCG@10 of each system."""
        faiss.omp_set_num_threads(CORES)
        for one in opened:
            rows = one.search_all()
            if one.recall:
                yield measurement_at(one.name, self.n, f"ann_recall@{K}", "", [one.recall(rows)], **one.keys)
            if one.is_judged:
                yield measurement_at(one.name, self.n, NDCG, "", [self.ndcg(rows)], **one.keys)

    def ndcg(self, found: Rows) -> float:
        """Return nDCG@10 x 100, the mean over the judged queries, from the found rows (m, K)."""
        values = evaluate_run(self.texts.qrels, self.texts.run(found.tolist()))[NDCG]
        return float(np.mean(list(values.values())))

    def measure_throughput(self, opened: Sequence[OpenIndex], measured: Sequence[Result]) -> Iterator[Result]:
        """Yield queries per second of a batch on all threads, with as many queries as a round of single queries."""
        cases, sizes = {}, {}
        for one in opened:
            single = find_measurement(measured, one.name, self.n, "query p50")
            if one.search_first and single:
                sizes[one.name] = min(single["queries_a_round"])
                cases[one.name] = partial(_batch, one, sizes[one.name])
        rounds = run_interleaved(cases, self.options.repeats)
        for one in opened:
            if one.name in rounds:
                about = {**one.keys, "queries_at_once": sizes[one.name]}
                yield measurement_at(one.name, self.n, "batch", "queries/s", rounds[one.name], **about)

    def ratios(self, measured: Sequence[Result], ours: Sequence[str]) -> Iterator[Result]:
        """Yield the speed and memory of each of our systems relative to the teacher's exact search, round by round.

        The first ratio is the one of the paper: exact search in float32 at both widths.
        """
        width = next(one["dim"] for one in measured if one["system"].startswith(f"{TEACHER}, "))
        teacher, paper = (f"{TEACHER}, {width}, {FLAT}", f"{self.models.encoder.name}, {self.models.narrow}, {FLAT}")
        of_paper = f"the paper's own ratio, {FLAT} at {width} / {FLAT} at {self.models.narrow} numbers: times as fast"
        wanted = [(paper, of_paper, "query p50")]
        wanted += [(name, FASTER, "query p50") for name in ours] + [(name, SMALLER, "resident memory") for name in ours]
        keys = {one["system"]: one for one in measured}
        for name, ratio, what in wanted:
            slow, fast = (find_measurement(measured, system, self.n, what) for system in (teacher, name))
            if slow and fast:
                values = [a / b for a, b in zip(slow["values"], fast["values"], strict=True)]
                about = {key: keys[name][key] for key in ("encoder", "dim", "index")}
                yield measurement_at(name, self.n, ratio, "x", values, **about)


def _serve(index: VectorIndex, _: int) -> dict[str, int]:
    return index.serve()


def _batch(system: OpenIndex, m: int, _: int) -> float:
    assert system.search_first is not None
    return batch_rate(partial(system.search_first, m), m)
