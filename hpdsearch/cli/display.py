"""Hits as people read them in a terminal: numbered, the passage around the matching words, those words marked."""

import re
import shutil
import textwrap
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import click

from hpdsearch.records import Hit

SHOWN_CHARACTERS = 320
MATCH_CHARACTERS = 240  # of them, counted from a matching word
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OPEN, _CLOSE = "\ue000", "\ue001"  # private characters that mark a highlight while lines are wrapped


def hit_lines(rank: int, hit: Hit) -> list[str]:
    """Return the lines that show one hit."""
    title = one_line(hit.title)
    name = click.style(title or one_line(hit.doc_id), bold=True)
    identity = f"  [{one_line(hit.doc_id)}]" if title else ""
    width = max(40, min(shutil.get_terminal_size().columns, 110) - 5)
    return [f"{rank:>3}. {hit.score:.4f}  {name}{identity}", *(f"     {line}" for line in passage_lines(hit, width))]


def passage_lines(hit: Hit, width: int) -> list[str]:
    """Return the passage where most words match, wrapped to `width` columns, highlights marked."""
    start, end = _window(hit)
    spans = [(a, b) for a, b in hit.highlights if start <= a and b <= end]
    text, at = "…" if start else "", start
    for a, b in spans:
        text += one_line(hit.passage[at:a], strip=False) + _OPEN + one_line(hit.passage[a:b]) + _CLOSE
        at = b
    text += one_line(hit.passage[at:end], strip=False) + ("…" if end < len(hit.passage) else "")
    lines, inside = [], False
    for line in textwrap.wrap(text, width, break_on_hyphens=False):
        styled, inside = _styled(line, inside)
        lines.append(styled)
    return lines


def hit_json(rank: int, hit: Hit) -> dict[str, Any]:
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


def answer_json(query_id: str, text: str, hits: Sequence[Hit], milliseconds: float) -> dict[str, Any]:
    """Return the answer to one query as JSON values; milliseconds is the mean of its batch."""
    ranked = [hit_json(rank, hit) for rank, hit in enumerate(hits, start=1)]
    return {"query_id": query_id, "query": text, "milliseconds": round(milliseconds, 3), "hits": ranked}


def show_hits(hits: Sequence[Hit], milliseconds: float) -> None:
    """Print hits and the time taken."""
    for rank, hit in enumerate(hits, start=1):
        for line in hit_lines(rank, hit):
            click.echo(line)
    click.echo(f"{len(hits)} hits in {milliseconds:.1f} ms" if hits else f"no hits ({milliseconds:.1f} ms)")


def show_document(hit: Hit) -> None:
    """Print a whole document."""
    click.echo(click.style(one_line(hit.title) or one_line(hit.doc_id), bold=True))
    for key, value in {"id": hit.doc_id, **hit.metadata}.items():
        click.echo(f"{one_line(key)}: {one_line(str(value))}")
    click.echo()
    click.echo(_CONTROLS.sub("", hit.text.replace("\r\n", "\n")))


def one_line(text: str, *, strip: bool = True) -> str:
    """Return text on one line, without characters that would steer the terminal."""
    flat = re.sub(r"\s+", " ", _CONTROLS.sub(" ", text))
    return flat.strip() if strip else flat


def _window(hit: Hit) -> tuple[int, int]:
    """Return the characters (start, end) of the passage to show: all of a short one, else where most words match."""
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


def _styled(line: str, inside: bool) -> tuple[str, bool]:
    """Style the marked parts of one line; `inside` tells whether a highlight goes on from the line before."""
    result = ""
    for part in re.split(f"([{_OPEN}{_CLOSE}])", line):
        if part in (_OPEN, _CLOSE):
            inside = part == _OPEN
        elif part:
            result += click.style(part, fg="yellow", bold=True) if inside else part
    return result, inside
