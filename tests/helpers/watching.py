"""Run `hpdsearch watch` as a process, and wait for what it does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONG = 60  # seconds


@contextmanager
def watching(index: Path, corpus: Path, out: Path, *, seconds: float = LONG) -> Iterator[None]:
    """Watch a corpus while the block runs, printing into a file; then Ctrl-C ends the command within some seconds."""
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpdsearch", "watch", str(index), str(corpus)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(seconds) == 0
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], *, seconds: float = LONG) -> None:
    """Wait until a condition holds, and fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
