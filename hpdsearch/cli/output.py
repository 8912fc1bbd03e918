r"""Printing: everything that the command line writes to stdout and stderr passes through `echo` and `echo_json`.

Characters that control a terminal never reach it: text shows them as escapes (`\x1b`, `\u202e`), and so does JSON.
"""

import json
import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple

import click

from hpdsearch.common.progress import Progress

# All control characters but tab and newline, marks of line ends and of text direction, lone surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


class Styled(NamedTuple):
    """A text that a terminal shows in a style."""

    text: str
    color: str | None = None
    bold: bool = False
    underline: bool = False


Line = Sequence[str | Styled]


class LogFormatter(logging.Formatter):
    """A format of log lines in which no character controls a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return escape_controls(super().format(record))


def echo(*parts: str | Styled, err: bool = False) -> None:
    """Print a line: its parts, in their styles where the stream shows styles.

    A character that the encoding of the stream lacks is printed as its escape.

    Args:
        parts: the text, in which newlines and tabs stay and other control characters become escapes.
        err: print to stderr instead of stdout.
    """
    stream = sys.stderr if err else sys.stdout
    styled = shows_styles(stream)
    line = ""
    for part in parts:
        one = part if isinstance(part, Styled) else Styled(part)
        text = _escape_unencodable(escape_controls(one.text), stream)
        if styled and one != Styled(one.text):
            text = click.style(text, one.color, bold=one.bold or None, underline=one.underline or None)
        line += text
    click.echo(line, file=stream, color=styled)


def echo_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    if _escape_unencodable(text, sys.stdout) != text:
        text = json.dumps(value)
    click.echo(text, file=sys.stdout, color=False)


def escape_controls(text: str) -> str:
    r"""Return text in which each character that controls a terminal stands as its escape; newlines and tabs stay.

    A byte of a file name that is not UTF-8 is shown as that byte: `\xe9`.
    """
    return _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    is_byte = 0xDC80 <= code <= 0xDCFF  # Python's form (surrogateescape) of bytes that are not UTF-8
    return f"\\x{code - 0xDC00:02x}" if is_byte else ascii(found[0])[1:-1]


def _escape_unencodable(text: str, stream: IO[str]) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def shows_styles(stream: IO[str]) -> bool:
    """Decide whether to print styles: NO_COLOR (no-color.org), FORCE_COLOR or CLICOLOR_FORCE, then the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_terminal(stream)


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal that knows control sequences: TERM is not `dumb`."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def make_progress() -> Progress:
    """Return progress bars on stderr, enabled on a terminal unless -q was given."""
    return Progress(enabled=is_terminal(sys.stderr) and not click.get_current_context().obj)


def format_count(n: int, noun: str) -> str:
    """Return a count with its noun: 1 hit, 1,050 documents."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def format_bytes(n: float) -> str:
    """Return a byte count in powers of 1,000: 15.1 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def echo_table(rows: Iterable[Sequence[str]], headers: Sequence[str], *, indent: int = 0) -> None:
    """Print a table; the first column is aligned to the left, the others to the right."""
    from tabulate import tabulate

    align = ["left", *["right"] * (len(headers) - 1)]
    cells = [[escape_controls(cell) for cell in row] for row in [headers, *rows]]
    table = tabulate(cells[1:], cells[0], tablefmt="plain", disable_numparse=True, colalign=align)
    echo(textwrap.indent(table, " " * indent))
