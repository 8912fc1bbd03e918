"""Measure single adds: 10,000 documents are added one at a time, with a search now and then.

Afterwards the grown index is compared with a fresh index of the same documents. The vectors are given, so encoding is
not measured.

    python -m benchmarks.scale.adds --vectors vectors/ --texts texts.txt --query-texts queries.txt
"""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common.harness import argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, measurement, ratios, result, target, write_result
from benchmarks.scale.fixed_encoder import documents, load_fixed_encoder
from benchmarks.scale.vectors import VectorFolder
from hpdsearch import Encoder, Index

K = 10
MODES = ("dense", "hybrid")


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argument_parser(__doc__, "adds")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of vectors, see scale/vectors.py")
    parser.add_argument("--texts", type=Path, required=True, help="the text of each vector, one per line")
    parser.add_argument("--query-texts", type=Path, required=True, help="the text of each vector in queries.npy")
    parser.add_argument("--adds", type=positive, default=10_000, help="documents added one at a time")
    parser.add_argument("--every", type=positive, default=100, help="adds between two searches")
    parser.add_argument("--base", type=positive, default=1, help="documents in the index before the first add")
    parser.add_argument("--n-queries", type=positive, default=200, help="queries at the end, per mode and round")
    parser.add_argument("--dim", type=positive, default=128, help="dimensions of the vectors")
    options = parser.parse_args()
    n = options.base + options.adds
    source = VectorFolder(options.vectors)
    encoder, lines, queries = load_fixed_encoder(
        source, options.texts, n, options.query_texts, options.n_queries, dim=options.dim
    )
    names = ("repeats", "adds", "every", "base", "dim")
    settings = {name: getattr(options, name) for name in names}
    settings |= {"asked": options.n_queries, "k": K, "vectors": source.description(n)}  # stored key
    with tempfile.TemporaryDirectory() as folder:
        grown = Path(folder) / "grown"
        fresh = Path(folder) / "fresh"
        measurements = add_one_by_one(grown, encoder, lines, queries, options.base, options.every)
        Index.build(fresh, documents(lines), encoder=encoder).close()
        comparison, settings["segments"] = compare(grown, fresh, encoder, queries, options.repeats)
    measurements += comparison
    limits = {"one add, without encoding": 20} | {f"{mode} search, grown / fresh": 2 for mode in MODES}
    targets = [target(item, at_most=limits[item["name"]]) for item in measurements if item["name"] in limits]
    write_result(result("adds", settings, measurements, targets), options.output)


def add_one_by_one(
    folder: Path, encoder: Encoder, lines: Sequence[str], queries: Sequence[str], base: int, every: int
) -> list[Result]:
    """Build an index of the first documents, add each other document on its own, and search after every few adds."""
    adds: list[float] = []
    searches: list[float] = []
    with Index.build(folder, documents(lines[:base]), encoder=encoder) as index:
        for number in range(base, len(lines)):
            start = time.perf_counter()
            report = index.add(documents([lines[number]], number))
            adds.append((time.perf_counter() - start - report.encode_seconds) * 1000)
            if len(adds) % every == 0:
                query = queries[len(searches) % len(queries)]
                start = time.perf_counter()
                index.search(query, K)
                searches.append((time.perf_counter() - start) * 1000)
    return [
        measurement("one add, without encoding", "ms", adds, percentiles=True),
        measurement("one add, the last tenth", "ms", adds[-max(1, len(adds) // 10) :], percentiles=True),
        measurement("all adds", "s", [sum(adds) / 1000]),
        measurement(f"hybrid search after each {every} adds", "ms", searches),
    ]


def compare(
    grown: Path, fresh: Path, encoder: Encoder, queries: Sequence[str], repeats: int
) -> tuple[list[Result], dict[str, int]]:
    """Search both indexes interleaved; return medians per round, ratios, and the number of segments of each index."""
    with Index.open(grown, encoder=encoder) as one, Index.open(fresh, encoder=encoder) as other:
        indexes = {"grown": one, "fresh": other}
        passes = {
            (mode, name): partial(time_queries, index, queries, mode)
            for mode in MODES
            for name, index in indexes.items()
        }
        rounds = run_interleaved(passes, repeats)
        common = [
            len({hit.doc_id for hit in one.search(text, K)} & {hit.doc_id for hit in other.search(text, K)}) / K
            for text in queries
        ]
        segments = {name: len(index.info().segments) for name, index in indexes.items()}
    measurements = [measurement("hybrid hits in common", "", [float(np.mean(common))])]
    for mode in MODES:
        measurements += [measurement(f"{mode} search, {name}, p50", "ms", rounds[mode, name]) for name in indexes]
        measurements.append(ratios(f"{mode} search, grown / fresh", rounds[mode, "grown"], rounds[mode, "fresh"]))
    return measurements, segments


def time_queries(index: Index, queries: Sequence[str], mode: str, _: int) -> float:
    """Return the median milliseconds of a search, one query at a time."""
    times = []
    for text in queries:
        start = time.perf_counter()
        index.search(text, K, mode=mode)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


if __name__ == "__main__":
    main()
