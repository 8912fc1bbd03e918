"""Start processes within milliseconds: a server that has loaded all modules and runs no threads forks them."""

import multiprocessing
import multiprocessing.forkserver
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import TracebackType
from typing import Any

# These tests call fsync thousands of times, so their folders are in memory if possible.
MEMORY_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
TIMEOUT = 60  # seconds until a process that does not answer is a failure
_PRELOADED = ["hpdsearch.index", "faiss", "tantivy", "tokenizers", "states", "pytest"]


def start_fork_server() -> ForkServerContext:
    """Return a context whose processes start within milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # The server is a new Python, which does not search the folders of the tests for modules.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return context


def receive(pipe: Connection, timeout: float = TIMEOUT) -> Any:
    """Return the next message of a process; a process that sends none in this time is a failure."""
    assert pipe.poll(timeout)
    return pipe.recv()


class Processes:
    """Starts processes, and kills those that still run when the `with` block ends."""

    def __init__(self, context: ForkServerContext) -> None:
        self._context = context
        self._started: list[tuple[ForkServerProcess, Connection]] = []

    def start(self, function: Callable[..., None], *args: Any) -> tuple[ForkServerProcess, Connection]:
        """Start a process that runs function(pipe, *args); return it and the other end of the pipe."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=function, args=(theirs, *args))
        process.start()
        theirs.close()
        self._started.append((process, ours))
        return process, ours

    def stop_all(self) -> None:
        """Kill the processes that still run, and close all of them."""
        for process, pipe in self._started:
            if process.is_alive():
                process.kill()
            process.join()
            pipe.close()
            process.close()
        self._started.clear()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop_all()
