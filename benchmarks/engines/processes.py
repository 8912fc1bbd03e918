"""Start programs as processes, send them queries and report their errors."""

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

MARK = "ANSWER "  # prefix of an adapter's answers; its libraries print lines of their own
MAX_ERROR_LENGTH = 240  # characters of an error message in a result
TIMEOUT = 600.0  # seconds for an answer or for opening an index; a program that hangs is stopped


class EngineError(Exception):
    """A program failed; the message is the last line of its error."""


@dataclass(frozen=True)
class Engine:
    """A program.

    Attributes:
        name: label in the tables.
        adapter: script in peers/engines/, without its suffix.
        model: argument of the adapter.
        shares: name of the program whose index it searches; None: it builds one.
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
    def start(cls, command: Command, env: Mapping[str, str]) -> Iterator["Server"]:
        """Start a program, wait until it is ready, and stop it at the end of the block.

        Raises:
            EngineError: the program ended before it was ready.
        """
        with tempfile.TemporaryDirectory() as folder:
            errors = Path(folder) / "stderr"
            with (
                errors.open("w") as file,
                subprocess.Popen(
                    list(map(str, command)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    env={**os.environ, **env},
                ) as process,
            ):
                server = cls(process, errors)
                try:
                    server.read_answer()
                    yield server
                finally:
                    assert process.stdin
                    with suppress(BrokenPipeError):  # the process has ended
                        process.stdin.close()
                    try:
                        process.wait(timeout=20)
                    except subprocess.TimeoutExpired:  # threads of its libraries may keep it alive
                        process.kill()

    def search(self, queries: Sequence[str]) -> dict[str, Any]:
        """Send queries and return the answer, see peers/engines/protocol.py.

        Raises:
            EngineError: the program ended, or the number of answers is wrong.
        """
        assert self.process.stdin
        with suppress(BrokenPipeError):  # read_answer raises its last error below
            self.process.stdin.write(json.dumps({"queries": list(queries)}) + "\n")
            self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.read_answer())
        if len(found["ids"]) != len(queries):
            raise EngineError(f"expected {len(queries)} answers, got {len(found['ids'])}")
        return found

    def read_answer(self) -> str:
        """Return the next answer, and skip all other output.

        Raises:
            EngineError: the program ended, or gave no answer within TIMEOUT seconds and was stopped.
        """
        assert self.process.stdout
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            self.process.kill()

        timer = threading.Timer(TIMEOUT, stop)
        timer.start()
        try:
            for line in self.process.stdout:
                if line.startswith(MARK):
                    return line.removeprefix(MARK)
        finally:
            timer.cancel()
        if timed_out.is_set():
            raise EngineError(f"expected an answer, got none in {TIMEOUT:g} s")
        raise EngineError(last_error_line(self.errors.read_text(errors="replace")))


def last_error_line(error: object) -> str:
    """Return the last line of an error, shortened, with ~ for the home folder."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = (lines[-1] if lines else "ended without an error message").replace(str(Path.home()), "~")
    return message if len(message) <= MAX_ERROR_LENGTH else f"{message[:MAX_ERROR_LENGTH]}..."


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def pin_to_cores(threads: int) -> Iterator[None]:
    """Pin processes started in the block to `threads` cores, because some programs ignore OMP_NUM_THREADS."""
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
