"""The output files of a command line, and their option --overwrite."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import click

from hpdsearch.common.outputs import STDOUT_NAME, is_stdout, open_output

SIGNALS = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace a file that exists.")


@contextmanager
def open_output_file(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """Open an output file as `open_output` does; SIGTERM and SIGHUP too leave nothing half-written."""
    with exit_on_signals(), open_output(path, overwrite=overwrite, inputs=inputs) as file:
        yield file


def uses_stdout(*paths: Path | None) -> bool:
    """Return whether one of several output files, if given, stands for standard output."""
    return any(path is not None and is_stdout(path) for path in paths)


def describe_output(path: Path) -> str:
    """Return the name of an output file for messages."""
    return STDOUT_NAME if is_stdout(path) else str(path)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Let the signals that end a process raise SystemExit, unless the caller ignores or handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
