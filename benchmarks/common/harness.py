"""Share options, inputs, interleaved rounds and measured processes among all benchmarks."""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from benchmarks.common.machine import RSS_UNIT
from benchmarks.common.results import RESULTS
from hpdsearch.common.files import file_sha256
from hpdsearch.corpus import read_corpus
from hpdsearch.records import Document

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
QUERIES = BENCHMARKS / "queries.txt"
SAMPLE = ROOT / "examples" / "wordnet.jsonl.gz"
CACHE = Path.home() / ".cache" / "hpdsearch-bench"
MODELS = Path.home() / ".cache" / "hpdsearch-models"
HPDSEARCH = Path(sys.executable).with_name("hpdsearch")  # the command of the running installation

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Command = Sequence[str | Path]  # a program and its arguments


def argument_parser(description: str | None, benchmark: str, *, repeats: int = 5) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--repeats", type=positive, default=repeats, help="recorded rounds")
    parser.add_argument("--output", type=Path, default=RESULTS / f"{benchmark}.json", help="result file")
    return parser


def positive(text: str) -> int:
    """Parse an option that must be 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def first_documents(corpus: Path, n: int | None = None) -> list[Document]:
    """Return the first n documents of a corpus, or all.

    Raises:
        SystemExit: the corpus has fewer than n documents.
    """
    documents = list(islice(read_corpus(corpus), n))
    if n is not None and len(documents) < n:
        raise SystemExit(f"{corpus}: expected at least {n:,} documents, got {len(documents):,}")
    return documents


def read_queries(path: Path = QUERIES) -> list[str]:
    """Return the queries of a text file, one per line."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def file_identity(path: Path) -> dict[str, Any]:
    """Return name, size and sha256 of an input file, without its folder."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading bytes; a .gz file is decompressed."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def run_interleaved(
    cases: Mapping[Key, Callable[[int], T]], repeats: int, *, warm_up: bool = True
) -> dict[Key, list[T]]:
    """Run all cases in turn, `repeats` times, so that other load on the machine affects all of them alike.

    Every other round runs backwards, so that no case always comes first.

    Args:
        cases: by name; each is called with the number of the round, or -1 in the warm-up.
        repeats: number of recorded rounds.
        warm_up: first run every case once without recording it.

    Returns:
        The return values of each case by name, one per round.
    """
    if warm_up:
        for case in cases.values():
            case(-1)
    results: dict[Key, list[T]] = {name: [] for name in cases}
    for number in range(repeats):
        print(f"round {number + 1} of {repeats}", file=sys.stderr)
        for name in list(cases)[:: 1 if number % 2 == 0 else -1]:
            results[name].append(cases[name](number))
    return results


@dataclass(frozen=True)
class ProcessRun:
    """A process that ended with exit code 0.

    Attributes:
        seconds: wall time from start to end.
        peak_bytes: its peak resident memory; on Linux never less than the peak of the process that started it.
        stdout: its standard output.
    """

    seconds: float
    peak_bytes: int
    stdout: str


def module_command(module: str, *arguments: str | Path) -> Command:
    """Return the command that runs a module of this package, such as "scale.child", with this interpreter."""
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def module_environment() -> dict[str, str]:
    """Return the environment variables that let `module_command` run from any folder."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def run(command: Command, *, env: Mapping[str, str] | None = None) -> ProcessRun:
    """Run a command, wait for its end and measure it.

    Args:
        command: program and arguments.
        env: environment variables to add.

    Raises:
        SystemExit: the command failed; the message contains its output.
    """
    arguments = list(map(str, command))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)  # usage of this child alone; RUSAGE_CHILDREN adds up all children
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(), err.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}\nexpected exit code 0, got {process.returncode}:\n{stderr or stdout}")
    return ProcessRun(seconds, usage.ru_maxrss * RSS_UNIT, stdout)


def run_json(command: Command, *, env: Mapping[str, str] | None = None) -> Any:
    """Run a command and parse the last line of its output as JSON."""
    return json.loads(run(command, env=env).stdout.splitlines()[-1])
