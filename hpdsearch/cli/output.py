"""Printing that several commands share: progress, JSON, counts, tables."""

import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from hpdsearch.common.progress import Progress


def make_progress() -> Progress:
    """Return progress bars on stderr, enabled on a terminal unless -q was given."""
    return Progress(enabled=sys.stderr.isatty() and not click.get_current_context().obj)


def echo_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False))


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
    table = tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=align)
    click.echo(textwrap.indent(table, " " * indent))
