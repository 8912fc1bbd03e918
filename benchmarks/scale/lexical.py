"""How long do lexical, dense and hybrid search take in a whole index of a million texts? Encoding is left out.

One question at a time, hits with documents and highlights and all; the vectors are given.

    python -m benchmarks.scale.lexical --vectors vectors/ --texts texts.txt --questions questions.txt --work work/
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
    """Read the options, build unless it is there, ask, write the result."""
    parser = argument_parser(__doc__, "scale_words")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of vectors, see scale/vectors.py")
    parser.add_argument("--texts", type=Path, required=True, help="the text of each vector, one a line")
    parser.add_argument("--questions", type=Path, required=True, help="the text of each vector in queries.npy")
    parser.add_argument("--work", type=Path, required=True, help="folder for the index, which is kept")
    parser.add_argument("--n", type=positive, default=1_000_000, help="documents")
    parser.add_argument("--asked", type=positive, default=1000, help="questions, in each mode and round")
    parser.add_argument("--dim", type=positive, default=128)
    options = parser.parse_args()
    encoder, lines, questions = load_fixed_encoder(
        VectorFolder(options.vectors), options.texts, options.n, options.questions, options.asked, dim=options.dim
    )
    folder, measurements = options.work / f"words-{options.n}-dim-{options.dim}", []
    if not folder.exists():
        clock, start = PhaseClock(), time.perf_counter()
        Index.build(folder, documents(lines), encoder=encoder, progress=clock).close()
        measurements.append(measurement("build, without encoding", "s", [time.perf_counter() - start]))
        measurements += [measurement(f"build, {phase}", "s", [seconds]) for phase, seconds in clock.seconds.items()]
    start = time.perf_counter()
    with Index.open(folder, encoder=encoder) as index:
        measurements.append(measurement("open", "s", [time.perf_counter() - start]))
        measurements += measure(index, questions, options.repeats)
        segments = [f"{s['rows']} rows {s['kind']} {s['codec']}" for s in index.info().segments]
    names = ("repeats", "n", "asked", "dim")
    settings = {name: getattr(options, name) for name in names} | {"k": K, "segments": segments}
    targets = [target(item, at_most=LIMITS[item["name"]]) for item in measurements if item["name"] in LIMITS]
    write_result(result("scale_words", settings, measurements, targets), options.output)


def measure(index: Index, questions: Sequence[str], repeats: int) -> list[Result]:
    """Ask all questions in every mode, taking turns, and return percentiles a round."""
    rounds = run_interleaved({mode: partial(ask_all, index, questions, mode) for mode in MODES}, repeats)
    return [
        measurement(f"{mode}, p{percent}", "ms", [np.percentile(times, percent) for times in rounds[mode]])
        for mode in MODES
        for percent in (50, 95, 99)
    ]


def ask_all(index: Index, questions: Sequence[str], mode: str, _: int) -> list[float]:
    """Return the milliseconds of each question."""
    times = []
    for text in questions:
        start = time.perf_counter()
        index.search(text, K, mode=mode)
        times.append((time.perf_counter() - start) * 1000)
    return times


if __name__ == "__main__":
    main()
