"""The standard streams of a caller that closed some of them, or put a full disk or a closed pipe behind them."""

import io
import os
import sys


def open_closed_streams() -> None:
    """Put the null device behind each standard stream that the caller closed.

    Otherwise the next file that is opened, perhaps one of an index, gets the descriptor of the stream, and a library
    that prints to the descriptor writes into that file.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor and not _is_open(descriptor):
            null = os.dup2(null, descriptor)
        setattr(sys, name, open(null, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115, PTH123


def keep_undecodable_input() -> None:
    """Let standard input pass bytes that are not of its encoding, so that only their line is refused."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")


def discard_unwritten() -> None:
    """Send to the null device what could not be written; Python would try again at its end, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as null:  # noqa: PTH123
                os.dup2(null.fileno(), stream.fileno())


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
