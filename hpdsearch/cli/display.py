"""Hits for a terminal: numbered, with an excerpt of the passage in which matching words are highlighted."""

import re
import shutil
import textwrap
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import click

from hpdsearch.cli.output import format_count
from hpdsearch.records import Hit

SHOWN_CHARACTERS = 320
MATCH_CHARACTERS = 240  # of the excerpt, from the first matching word on
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters mark highlights while lines are wrapped


def format_hit(rank: int, hit: Hit) -> list[str]:
    """Return the lines that show one hit."""
    title = one_line(hit.title)
    name = click.style(title or one_line(hit.doc_id), bold=True)
    identity = f"  [{one_line(hit.doc_id)}]" if title else ""
    width = max(40, min(shutil.get_terminal_size().columns, 110) - 5)
    return [f"{rank:>3}. {hit.score:.4f}  {name}{identity}", *(f"     {line}" for line in format_passage(hit, width))]


def format_passage(hit: Hit, width: int) -> list[str]:
    """Return the lines of the excerpt with the most matching words, wrapped to `width` columns and highlighted."""
    start, end = _find_excerpt(hit)
    spans = [(a, b) for a, b in hit.highlights if start <= a and b <= end]
    text = "…" if start else ""
    at = start
    for a, b in spans:
        text += one_line(hit.passage[at:a], strip=False) + _OPEN + one_line(hit.passage[a:b]) + _CLOSE
        at = b
    text += one_line(hit.passage[at:end], strip=False) + ("…" if end < len(hit.passage) else "")
    lines = []
    inside = False
    for line in textwrap.wrap(text, width, break_on_hyphens=False):
        styled, inside = _style_line(line, inside)
        lines.append(styled)
    return lines


def describe_hit(rank: int, hit: Hit) -> dict[str, Any]:
    """Return one hit as JSON values."""
    return {
        "rank": rank,
        "doc_id": hit.doc_id,
        "score": hit.score,
        "title": hit.title,
        "passage": hit.passage,
        "highlights": [list(span) for span in hit.highlights],
        "text": hit.text,
        "metadata": dict(hit.metadata),
    }


def describe_answer(query_id: str, text: str, hits: Sequence[Hit], milliseconds: float) -> dict[str, Any]:
    """Return the answer to one query as JSON values; `milliseconds` is the mean of its batch."""
    ranked = [describe_hit(rank, hit) for rank, hit in enumerate(hits, start=1)]
    return {"query_id": query_id, "query": text, "milliseconds": round(milliseconds, 3), "hits": ranked}


def show_hits(hits: Sequence[Hit], milliseconds: float) -> None:
    """Print hits and the time that the search took."""
    for rank, hit in enumerate(hits, start=1):
        for line in format_hit(rank, hit):
            click.echo(line)
    click.echo(
        f"{format_count(len(hits), 'hit')} in {milliseconds:.1f} ms" if hits else f"no hits ({milliseconds:.1f} ms)"
    )


def show_document(hit: Hit) -> None:
    """Print the full document of a hit."""
    click.echo(click.style(one_line(hit.title) or one_line(hit.doc_id), bold=True))
    for key, value in {"id": hit.doc_id, **hit.metadata}.items():
        click.echo(f"{one_line(key)}: {one_line(str(value))}")
    click.echo()
    click.echo(_CONTROLS.sub("", hit.text.replace("\r\n", "\n")))


def one_line(text: str, *, strip: bool = True) -> str:
    """Return text on one line, without control characters."""
    flat = re.sub(r"\s+", " ", _CONTROLS.sub(" ", text))
    return flat.strip() if strip else flat


def _find_excerpt(hit: Hit) -> tuple[int, int]:
    """Return the bounds (start, end) of the excerpt: a short passage in full, else the part with the most matches."""
    length = len(hit.passage)
    if length <= SHOWN_CHARACTERS:
        return 0, length
    starts = [start for start, _ in hit.highlights] or [0]
    first = max(starts, key=lambda start: bisect_left(starts, start + MATCH_CHARACTERS) - bisect_left(starts, start))
    start = max(0, min(first - (SHOWN_CHARACTERS - MATCH_CHARACTERS) // 2, length - SHOWN_CHARACTERS))
    end = min(length, start + SHOWN_CHARACTERS)
    while 0 < start < first and not hit.passage[start - 1].isspace():
        start += 1
    while end < length and end > start + 1 and not hit.passage[end].isspace():
        end -= 1
    return start, end


def _style_line(line: str, inside: bool) -> tuple[str, bool]:
    """Style the highlights of one line; `inside`: a highlight continues from the line before, or into the next."""
    result = ""
    for part in re.split(f"([{_OPEN}{_CLOSE}])", line):
        if part in (_OPEN, _CLOSE):
            inside = part == _OPEN
        elif part:
            result += click.style(part, fg="yellow", bold=True) if inside else part
    return result, inside
