"""Hits for a terminal: numbered, with an excerpt of the passage in which matching words are highlighted."""

import re
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from hpdsearch.cli.output import Line, Styled, echo, escape_controls, format_count
from hpdsearch.records import Explanation, Hit

SHOWN_CHARACTERS = 320
MATCH_CHARACTERS = 240  # of the excerpt, from the first matching word on
WORD_CHARACTERS = 40  # an excerpt does not begin or end within a word, unless the word is longer
MIN_COLUMNS = 20
MAX_COLUMNS = 110
INDENT = " " * 5
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # marks of the direction of text


def format_hit(rank: int, hit: Hit, *, full: bool = False) -> list[Line]:
    """Return the lines that show one hit, with an excerpt of its passage or with its full text."""
    title = one_line(hit.title)
    identity = f"  [{_flatten(hit.doc_id)}]" if title else ""
    head: Line = [f"{rank:>3}. {hit.score:.4f}  ", Styled(title or _flatten(hit.doc_id), bold=True), identity]
    width = max(MIN_COLUMNS, min(shutil.get_terminal_size().columns, MAX_COLUMNS)) - len(INDENT)
    shown = format_text(hit, width) if full else format_passage(hit, width)
    if hit.explanation is not None:
        shown += format_explanation(hit.explanation, width)
    return [head, *([INDENT, *line] for line in shown)]


def format_explanation(found: Explanation, width: int) -> list[Line]:
    """Return the lines that explain a hit, wrapped to `width` columns."""
    depth = "beyond the candidates"
    words = " + ".join(f"{one_line(each.word)} {each.weight:.2f}" for each in found.words)
    lines = [
        f"cosine {found.cosine:.4f} (rank {found.dense_rank or depth}), "
        f"BM25 {found.bm25:.2f} of {found.best_bm25:.2f} (rank {found.lexical_rank or depth})",
        f"words: {words or 'none'} ({found.coverage:.0%} of the query)",
        *([f"identifier or rare words: {found.bonus:+.2f}"] if found.bonus else []),
        f"nearest sentence ({found.sentence_cosine:.4f}): {one_line(found.sentence)}",
    ]
    return [line for text in lines for line in _wrap(one_line(text), [], width)]


def format_passage(hit: Hit, width: int) -> list[Line]:
    """Return the lines of the excerpt with the most matching words, wrapped to `width` columns and highlighted."""
    start, end = _find_excerpt(hit)
    text = "…" if start else ""
    marked = []  # the highlights as characters of `text`
    at = start
    for a, b in hit.highlights:
        if not (start <= a and at < b <= end):
            continue
        text += one_line(hit.passage[at : max(a, at)], strip=False)
        first = len(text)
        text += one_line(hit.passage[max(a, at) : b], strip=False)
        marked.append((first, len(text)))
        at = b
    text += one_line(hit.passage[at:end], strip=False) + ("…" if end < len(hit.passage) else "")
    return list(_wrap(text, marked, width))


def format_text(hit: Hit, width: int) -> list[Line]:
    """Return the lines of the full text, wrapped to `width` columns."""
    return [line for text in hit.text.splitlines() for line in _wrap(one_line(text, strip=False), [], width)]


def show_hits(hits: Sequence[Hit], milliseconds: float, *, full: bool = False) -> None:
    """Print hits and the time that the search took."""
    for rank, hit in enumerate(hits, start=1):
        for line in format_hit(rank, hit, full=full):
            echo(*line)
    echo(f"{format_count(len(hits), 'hit')} in {milliseconds:.1f} ms" if hits else f"no hits ({milliseconds:.1f} ms)")


def show_document(hit: Hit) -> None:
    """Print the full document of a hit."""
    echo(Styled(one_line(hit.title) or _flatten(hit.doc_id), bold=True))
    for key, value in {"id": hit.doc_id, **hit.metadata}.items():
        echo(f"{_flatten(key)}: {_flatten(str(value))}")
    echo()
    echo(_DIRECTIONS.sub("", hit.text.replace("\r\n", "\n")))


def one_line(text: str, *, strip: bool = True) -> str:
    """Return prose on one line, without marks of its direction and with escapes for control characters."""
    return _flatten(_DIRECTIONS.sub("", text), strip=strip)


def _flatten(text: str, *, strip: bool = True) -> str:
    flat = escape_controls(re.sub(r"\s+", " ", text))
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
    if start:
        start = _find_break(hit.passage, range(start, min(first, start + WORD_CHARACTERS)), start)
    if end < length:
        end = _find_break(hit.passage, range(end, max(start + 1, end - WORD_CHARACTERS), -1), end)
    return start, end


def _find_break(passage: str, positions: range, default: int) -> int:
    """Return the first position beside white space, else the first that does not split a letter from its accents."""
    from wcwidth import wcwidth

    beside_space = (at for at in positions if passage[at].isspace() or passage[at - 1].isspace())
    before_letter = (at for at in positions if wcwidth(passage[at]) != 0)
    return next(beside_space, next(before_letter, default))


def _wrap(text: str, marked: Sequence[tuple[int, int]], width: int) -> Iterator[Line]:
    """Yield the lines of a text, in which runs of white space are single spaces, with the marked characters styled.

    Args:
        text: the text.
        marked: (start, end) of the characters to highlight, ascending.
        width: columns of a line. A wide character takes two, a combining one none.
    """
    from wcwidth import wrap

    end = 0
    for shown in wrap(text, width, break_on_hyphens=False):
        start = text.index(shown, end)
        end = start + len(shown)
        line: list[str | Styled] = []
        at = start
        for a, b in marked:
            a, b = max(a, start), min(b, end)
            if a < b:
                line += [text[at:a], Styled(text[a:b], "yellow", bold=True)]
                at = b
        yield [*line, text[at:end]]
