"""A process that runs jobs: it reads one a line from standard input and answers each with a line on standard output.

It ends with its parent, whose end of the pipe the system closes, also when the parent is killed.
"""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import hpdsearch.errors as errors
from hpdsearch.common.progress import Progress, SilentBar
from hpdsearch.errors import HpdsearchError

logger = logging.getLogger(__name__)


class PhaseProgress(Progress):
    """Reports the units of the phases that take most of the time, which are those of the documents of a job."""

    def __init__(self, report: Callable[[float], object]) -> None:
        """Take the function that counts finished units."""
        super().__init__()
        self._report = report

    def phase(self, name: str, *, total: int | None, unit: str) -> SilentBar:
        """Begin a phase."""
        return _ReportedBar(self._report) if name in ("encoding", "refining") else SilentBar()


class _ReportedBar(SilentBar):
    def __init__(self, report: Callable[[float], object]) -> None:
        self._report = report

    def update(self, n: float, /) -> None:
        """Report n finished units."""
        self._report(n)


def answer(values: dict[str, Any]) -> None:
    """Write a line to the parent."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the jobs of standard input until it ends."""
    from hpdsearch.index.shards.jobs import read_job

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent ends this one
    for line in iter(_watch_parent().get, ""):
        try:
            answer({"result": read_job(json.loads(line)).run(PhaseProgress(lambda n: answer({"progress": n})))})
        except HpdsearchError as error:
            answer({"error": type(error).__name__, "message": str(error)})
        except BaseException as error:
            logger.exception("a job failed")
            answer({"error": "", "message": f"{type(error).__name__}: {error}"})


def _watch_parent() -> "SimpleQueue[str]":
    """Return the lines of standard input; a thread reads them and ends the process when the parent is gone."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # in the midst of a job too: the folder stays at its last commit

    threading.Thread(target=read, daemon=True).start()
    return lines


def make_error(name: str, message: str) -> Exception:
    """Return the error that a worker has reported."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, HpdsearchError):
        return kind(message)
    return RuntimeError(message)


if __name__ == "__main__":
    main()
