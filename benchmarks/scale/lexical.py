"""Measure the latency of lexical, dense and hybrid search in an index of a million texts, without encoding.

Queries run one at a time, and hits include documents and highlights. The vectors are given.

    python -m benchmarks.scale.lexical --vectors vectors/ --texts texts.txt --query-texts queries.txt --work work/
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common.harness import argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, measurement, result, target, write_result
from benchmarks.scale.child import PhaseClock
from benchmarks.scale.fixed_encoder import documents, load_fixed_encoder
from benchmarks.scale.vectors import VectorFolder
from hpdsearch import Index

K = 10
MODES = ("lexical", "dense", "hybrid")
LIMITS = {"lexical, p50": 10, "hybrid, p50": 12, "lexical, p99": 30, "hybrid, p99": 30}


def main() -> None:
    """Read the options, build the index if it is missing, search, write the result."""
    parser = argument_parser(__doc__, "scale_words")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of vectors, see scale/vectors.py")
    parser.add_argument("--texts", type=Path, required=True, help="the text of each vector, one per line")
    parser.add_argument("--query-texts", type=Path, required=True, help="the text of each vector in queries.npy")
    parser.add_argument("--work", type=Path, required=True, help="folder for the index; it is kept")
    parser.add_argument("--n", type=positive, default=1_000_000, help="number of documents")
    parser.add_argument("--n-queries", type=positive, default=1000, help="queries per mode and round")
    parser.add_argument("--dim", type=positive, default=128, help="dimensions of the vectors")
    options = parser.parse_args()
    encoder, lines, queries = load_fixed_encoder(
        VectorFolder(options.vectors), options.texts, options.n, options.query_texts, options.n_queries, dim=options.dim
    )
    folder = options.work / f"words-{options.n}-dim-{options.dim}"
    measurements = []
    if not folder.exists():
        clock = PhaseClock()
        start = time.perf_counter()
        Index.build(folder, documents(lines), encoder=encoder, progress=clock).close()
        measurements.append(measurement("build, without encoding", "s", [time.perf_counter() - start]))
        measurements += [measurement(f"build, {phase}", "s", [seconds]) for phase, seconds in clock.seconds.items()]
    start = time.perf_counter()
    with Index.open(folder, encoder=encoder) as index:
        measurements.append(measurement("open", "s", [time.perf_counter() - start]))
        measurements += measure(index, queries, options.repeats)
        segments = [f"{s['rows']} rows {s['kind']} {s['codec']}" for s in index.info().segments]
    settings = {name: getattr(options, name) for name in ("repeats", "n", "dim")}
    settings |= {"asked": options.n_queries, "k": K, "segments": segments}  # stored key
    targets = [target(item, at_most=LIMITS[item["name"]]) for item in measurements if item["name"] in LIMITS]
    write_result(result("scale_words", settings, measurements, targets), options.output)


def measure(index: Index, queries: Sequence[str], repeats: int) -> list[Result]:
    """Run all queries in every mode, interleaved, and return percentiles per round."""
    rounds = run_interleaved({mode: partial(time_queries, index, queries, mode) for mode in MODES}, repeats)
    return [
        measurement(f"{mode}, p{percent}", "ms", [np.percentile(times, percent) for times in rounds[mode]])
        for mode in MODES
        for percent in (50, 95, 99)
    ]


def time_queries(index: Index, queries: Sequence[str], mode: str, _: int) -> list[float]:
    """Return the milliseconds of each query."""
    times = []
    for text in queries:
        start = time.perf_counter()
        index.search(text, K, mode=mode)
        times.append((time.perf_counter() - start) * 1000)
    return times


if __name__ == "__main__":
    main()
