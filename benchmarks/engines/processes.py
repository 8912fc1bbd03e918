"""The programs as processes: start one, send it queries, report its errors."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.harness import Command
from benchmarks.common.results import Result, measurement

MARK = "ANSWER "  # before what an adapter says; its libraries print, too
MAX_ERROR_LENGTH = 240  # characters of an error that a row shows
TIMEOUT = 600.0  # seconds for one answer, or for opening an index; a program that hangs must not hold up the others


class EngineError(Exception):
    """A program failed; the message holds its last error line."""


@dataclass(frozen=True)
class Engine:
    """A program.

    Attributes:
        name: shown.
        adapter: its script in peers/engines/, without the ending.
        model: given to the adapter.
        shares: name of the program whose index it asks, instead of making one.
    """

    name: str
    adapter: str
    model: str
    shares: str | None = None


@dataclass(frozen=True)
class Server:
    """A running program."""

    process: subprocess.Popen[str]
    errors: Path

    @classmethod
    @contextmanager
    def start(cls, words: Command, env: Mapping[str, str]) -> Iterator["Server"]:
        """Start a program, wait until it is ready, and end it with the block.

        Raises:
            EngineError: it ended before it was ready.
        """
        with tempfile.TemporaryDirectory() as folder:
            errors = Path(folder) / "stderr"
            with (
                errors.open("w") as file,
                subprocess.Popen(
                    list(map(str, words)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    env={**os.environ, **env},
                ) as process,
            ):
                server = cls(process, errors)
                try:
                    server.answer()
                    yield server
                finally:
                    assert process.stdin
                    with suppress(BrokenPipeError):  # it ended before
                        process.stdin.close()
                    try:
                        process.wait(timeout=20)
                    except subprocess.TimeoutExpired:  # threads of its libraries may hold it
                        process.kill()

    def ask(self, queries: Sequence[str]) -> dict[str, Any]:
        """Return what the program answers, see peers/engines/protocol.py.

        Raises:
            EngineError: it ended, or it gave another number of answers.
        """
        assert self.process.stdin
        with suppress(BrokenPipeError):  # what it said before it ended is told below
            self.process.stdin.write(json.dumps({"queries": list(queries)}) + "\n")
            self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.answer())
        if len(found["ids"]) != len(queries):
            raise EngineError(f"expected {len(queries)} answers, got {len(found['ids'])}")
        return found

    def answer(self) -> str:
        """Return the next line that is meant for us.

        Raises:
            EngineError: it ended, or said nothing for PATIENCE seconds and was ended.
        """
        assert self.process.stdout
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(TIMEOUT, end)
        timer.start()
        try:
            for line in self.process.stdout:
                if line.startswith(MARK):
                    return line.removeprefix(MARK)
        finally:
            timer.cancel()
        if late.is_set():
            raise EngineError(f"expected an answer, got none in {TIMEOUT:g} s")
        raise EngineError(last_error_line(self.errors.read_text(errors="replace")))


def last_error_line(error: object) -> str:
    """Return the last line of an error, without the home folder."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = (lines[-1] if lines else "ended without a word").replace(str(Path.home()), "~")
    return said if len(said) <= MAX_ERROR_LENGTH else f"{said[:MAX_ERROR_LENGTH]}..."


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def pin_to_cores(threads: int) -> Iterator[None]:
    """Hold what is started meanwhile to as many cores as it has threads; OMP_NUM_THREADS is not heeded by all."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def engine_measurement(system: str, what: str, unit: str, values: Iterable[float]) -> Result:
    """Return a measurement of one program."""
    return measurement(f"{system}: {what}", unit, values) | {"system": system, "what": what}
