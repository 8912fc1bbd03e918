"""Compare an index in shards with one index of the same texts: time of the build, and latency of searches.

The builds run as commands, from their start to their end, so that their processes use the machine as a user's do.

    python -m benchmarks.scale.shards --texts texts.txt --work work/
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common.harness import argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, measurement, ratios, result, write_result
from benchmarks.scale.lexical import time_queries
from hpdsearch import Index

K = 10
MODES = ("dense", "lexical", "hybrid")
SHARDS = (2, 4)
PROCESSES = (1, 2)
QUERY_WORDS = 6
SEED = 0


def main() -> None:
    """Read the options, build, search, write the result."""
    parser = argument_parser(__doc__, "scale_shards")
    parser.add_argument("--texts", type=Path, help="a text per line; without it, texts of random words")
    parser.add_argument("--work", type=Path, required=True, help="folder for the indexes; they are kept")
    parser.add_argument("--n", type=positive, default=20_000, help="number of texts")
    parser.add_argument("--n-queries", type=positive, default=300, help="queries per mode and round")
    parser.add_argument("--encoder", default="base", help="encoder of texts and queries")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    texts = read_texts(options.texts, options.n) if options.texts else make_texts(options.n)
    corpus = options.work / "texts.txt"
    corpus.write_text("".join(f"{text}\n" for text in texts))
    folders = {"one index": options.work / "single"}
    folders |= {f"{n} shards, {p} processes": options.work / f"shards-{n}-{p}" for n in SHARDS for p in PROCESSES}
    commands = {name: partial(build, corpus, folder, options.encoder, name) for name, folder in folders.items()}
    seconds = run_interleaved(commands, options.repeats)
    measurements = [measurement(f"build, {name}", "s", each) for name, each in seconds.items()]
    measurements += [
        ratios(f"build, one index / {name}", seconds["one index"], each)
        for name, each in seconds.items()
        if name != "one index"
    ]
    measurements += measure_searches(folders, make_queries(texts, options.n_queries), options.repeats)
    settings = {name: getattr(options, name) for name in ("repeats", "n", "n_queries", "encoder")}
    settings |= {"texts": options.texts.name if options.texts else "random words", "k": K}
    write_result(result("scale_shards", settings, measurements, []), options.output)


def read_texts(path: Path, n: int) -> list[str]:
    """Return the first n lines of a file that are not blank."""
    with path.open() as file:
        return [line.strip() for line, _ in zip(filter(str.strip, file), range(n), strict=False)]


def make_texts(n: int) -> list[str]:
    """Return n texts of 20 words each, drawn from 20,000 words by Zipf's law."""
    rng = np.random.default_rng(SEED)
    words = rng.zipf(1.3, (n, 20)) % 20_000
    return [" ".join(f"word{word}" for word in row) for row in words.tolist()]


def make_queries(texts: Sequence[str], n: int) -> list[str]:
    """Return n queries, each of some words of one text."""
    rng = np.random.default_rng(SEED + 1)
    queries = []
    for position in rng.integers(0, len(texts), n).tolist():
        words = texts[position].split()
        queries.append(" ".join(rng.choice(words, min(QUERY_WORDS, len(words)), replace=False)))
    return queries


def build(corpus: Path, folder: Path, encoder: str, name: str, _: int) -> float:
    """Build an index again by the command line; return the seconds that it took."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hpdsearch", "index", str(corpus), "-o", str(folder), "--encoder", encoder]
    command += ["--no-draft"]
    if name != "one index":
        n_shards, n_processes = (part.split()[0] for part in name.split(", "))
        command += ["--shards", n_shards, "--processes", n_processes]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure_searches(folders: dict[str, Path], queries: Sequence[str], repeats: int) -> list[Result]:
    """Run all queries on one index and on the shards in every mode, interleaved; return percentiles per round."""
    measurements = []
    searched = {name: folder for name, folder in folders.items() if not name.endswith("1 processes")}
    indexes = {name: Index.open(folder) for name, folder in searched.items()}
    for mode in MODES:
        runs = {name: partial(time_queries, index, queries, mode) for name, index in indexes.items()}
        rounds = run_interleaved(runs, repeats)
        measurements += [
            measurement(f"{mode}, {name}, p{percent}", "ms", [np.percentile(times, percent) for times in each])
            for name, each in rounds.items()
            for percent in (50, 99)
        ]
    for index in indexes.values():
        index.close()
    return measurements


if __name__ == "__main__":
    main()
