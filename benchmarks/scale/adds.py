"""What do single adds cost, and what do they leave behind? 10,000 documents added one at a time, with searches between.

Then the index that has grown so is asked beside one that was built of the same documents at once. Encoding is left
out: the vectors are given.

    python -m benchmarks.scale.adds --vectors vectors/ --texts texts.txt --questions questions.txt
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
    parser.add_argument("--texts", type=Path, required=True, help="the text of each vector, one a line")
    parser.add_argument("--questions", type=Path, required=True, help="the text of each vector in queries.npy")
    parser.add_argument("--adds", type=positive, default=10_000, help="documents added one at a time")
    parser.add_argument("--every", type=positive, default=100, help="adds between two searches")
    parser.add_argument("--base", type=positive, default=1, help="documents in the index before")
    parser.add_argument(
        "--asked", type=positive, default=200, help="questions asked at the end, in each mode and round"
    )
    parser.add_argument("--dim", type=positive, default=128)
    options = parser.parse_args()
    n, source = options.base + options.adds, VectorFolder(options.vectors)
    encoder, lines, questions = load_fixed_encoder(
        source, options.texts, n, options.questions, options.asked, dim=options.dim
    )
    names = ("repeats", "adds", "every", "base", "asked", "dim")
    settings = {name: getattr(options, name) for name in names} | {"k": K, "vectors": source.description(n)}
    with tempfile.TemporaryDirectory() as folder:
        grown, fresh = Path(folder) / "grown", Path(folder) / "fresh"
        measurements = add_one_by_one(grown, encoder, lines, questions, options.base, options.every)
        Index.build(fresh, documents(lines), encoder=encoder).close()
        found, settings["segments"] = compare(grown, fresh, encoder, questions, options.repeats)
    measurements += found
    limits = {"one add, without encoding": 20} | {f"{mode} search, grown / fresh": 2 for mode in MODES}
    targets = [target(item, at_most=limits[item["name"]]) for item in measurements if item["name"] in limits]
    write_result(result("adds", settings, measurements, targets), options.output)


def add_one_by_one(
    folder: Path, encoder: Encoder, lines: Sequence[str], questions: Sequence[str], base: int, every: int
) -> list[Result]:
    """Build an index of the first documents, add each of the others by itself, and search now and then."""
    adds, searches = [], []
    with Index.build(folder, documents(lines[:base]), encoder=encoder) as index:
        for number in range(base, len(lines)):
            start = time.perf_counter()
            summary = index.add(documents([lines[number]], number))
            adds.append((time.perf_counter() - start - summary.encode_seconds) * 1000)
            if len(adds) % every == 0:
                question = questions[len(searches) % len(questions)]
                start = time.perf_counter()
                index.search(question, K)
                searches.append((time.perf_counter() - start) * 1000)
    return [
        measurement("one add, without encoding", "ms", adds, percentiles=True),
        measurement("one add, the last tenth", "ms", adds[-max(1, len(adds) // 10) :], percentiles=True),
        measurement("all adds", "s", [sum(adds) / 1000]),
        measurement(f"hybrid search after each {every} adds", "ms", searches),
    ]


def compare(
    grown: Path, fresh: Path, encoder: Encoder, questions: Sequence[str], repeats: int
) -> tuple[list[Result], dict[str, int]]:
    """Ask both indexes the same questions, taking turns; return medians a round, ratios, and the segments of each."""
    with Index.open(grown, encoder=encoder) as one, Index.open(fresh, encoder=encoder) as other:
        indexes = {"grown": one, "fresh": other}
        passes = {
            (mode, name): partial(ask_all, index, questions, mode) for mode in MODES for name, index in indexes.items()
        }
        rounds = run_interleaved(passes, repeats)
        common = [
            len({hit.doc_id for hit in one.search(text, K)} & {hit.doc_id for hit in other.search(text, K)}) / K
            for text in questions
        ]
        segments = {name: len(index.info().segments) for name, index in indexes.items()}
    measurements = [measurement("hybrid hits in common", "", [np.mean(common)])]
    for mode in MODES:
        measurements += [measurement(f"{mode} search, {name}, p50", "ms", rounds[mode, name]) for name in indexes]
        measurements.append(ratios(f"{mode} search, grown / fresh", rounds[mode, "grown"], rounds[mode, "fresh"]))
    return measurements, segments


def ask_all(index: Index, questions: Sequence[str], mode: str, _: int) -> float:
    """Return the median milliseconds of a search, one question at a time."""
    times = []
    for text in questions:
        start = time.perf_counter()
        index.search(text, K, mode=mode)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


if __name__ == "__main__":
    main()
