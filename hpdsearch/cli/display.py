"""Hits for a terminal: numbered, with an excerpt of the passage in which matching words are highlighted.

Where the nearest sentence is known, it is underlined.
"""

import re
import shutil
import textwrap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hpdsearch.cli.output import Line, Styled, echo, escape_controls, format_count
from hpdsearch.records import Explanation, Hit, Hits

SHOWN_CHARACTERS = 320
MATCH_CHARACTERS = 240  # of the excerpt, from the first matching word on
WORD_CHARACTERS = 40  # an excerpt does not begin or end within a word, unless the word is longer
MIN_COLUMNS = 20
MAX_COLUMNS = 110
INDENT = " " * 5
MATCH_COLOR = "magenta"  # it is legible on light and on dark terminals
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # marks of the direction of text


Span = tuple[int, int]  # characters start <= i < end


def format_hit(rank: int, hit: Hit, *, full: bool = False, details: bool = True) -> list[Line]:
    """Return the lines that show one hit, with an excerpt of its passage or with its full text.

    `details` adds the explanation, if the hit has one.
    """
    title = one_line(hit.title)
    identity = f"  [{_flatten(hit.doc_id)}]" if title else ""
    place = f"  {one_line(hit.location)}" if hit.location else ""
    head: Line = [f"{rank:>3}. {hit.score:.4f}  ", Styled(title or _flatten(hit.doc_id), bold=True), identity, place]
    width = max(MIN_COLUMNS, min(shutil.get_terminal_size().columns, MAX_COLUMNS)) - len(INDENT)
    shown = format_text(hit, width) if full else format_passage(hit, width)
    if details and hit.explanation is not None:
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
    sentence = _find_sentence(hit)
    start, end = _find_excerpt(hit, sentence)
    marked = _clip(hit.highlights, start, end)
    underlined = _clip([sentence] if sentence else [], start, end)
    places = {}  # character of the passage -> character of `text`
    text = "…" if start else ""
    for a, b in pairwise(sorted({start, end, *(at for span in (*marked, *underlined) for at in span)})):
        places[a] = len(text)
        text += one_line(hit.passage[a:b], strip=False)
        places[b] = len(text)
    text += "…" if end < len(hit.passage) else ""
    marked, underlined = ([(places[a], places[b]) for a, b in spans] for spans in (marked, underlined))
    return list(_wrap(text, marked, width, underlined=underlined))


def format_text(hit: Hit, width: int) -> list[Line]:
    """Return the lines of the full text, wrapped to `width` columns."""
    return [line for text in hit.text.splitlines() for line in _wrap(one_line(text, strip=False), [], width)]


def show_hits(
    hits: Sequence[Hit], milliseconds: float, *, full: bool = False, details: bool = True, first: int = 1
) -> None:
    """Print hits, numbered from `first`, and the time that the search took; `details` as in `format_hit`."""
    for rank, hit in enumerate(hits, start=first):
        for line in format_hit(rank, hit, full=full, details=details):
            echo(*line)
    echo(f"{format_count(len(hits), 'hit')} in {milliseconds:.1f} ms" if hits else f"no hits ({milliseconds:.1f} ms)")
    if isinstance(hits, Hits) and hits.missing_shards:
        echo(describe_missing(hits))


def describe_missing(hits: Hits) -> str:
    """Return the line that names the shards that did not answer."""
    return f"partial answer: {', '.join(hits.missing_shards)} did not answer in time"


def show_document(hit: Hit) -> None:
    """Print the full document of a hit."""
    echo(Styled(one_line(hit.title) or _flatten(hit.doc_id), bold=True))
    place = {"location": hit.location} if hit.location else {}
    for key, value in {"id": hit.doc_id, **place, **hit.metadata}.items():
        echo(f"{_flatten(key)}: {_flatten(str(value))}")
    echo()
    echo(_DIRECTIONS.sub("", hit.text.replace("\r\n", "\n")))


def one_line(text: str, *, strip: bool = True) -> str:
    """Return prose on one line, without marks of its direction and with escapes for control characters."""
    return _flatten(_DIRECTIONS.sub("", text), strip=strip)


def _flatten(text: str, *, strip: bool = True) -> str:
    flat = escape_controls(re.sub(r"\s+", " ", text))
    return flat.strip() if strip else flat


def _clip(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """Return the parts of spans that lie in start..end."""
    clipped = [(max(a, start), min(b, end)) for a, b in spans]
    return [(a, b) for a, b in clipped if a < b]


def _find_sentence(hit: Hit) -> Span | None:
    """Return the place of the nearest sentence in the passage; None if it is unknown or the whole passage."""
    sentence = hit.explanation.sentence if hit.explanation is not None else ""
    at = hit.passage.find(sentence)
    return (at, at + len(sentence)) if sentence and at >= 0 and sentence != hit.passage.strip() else None


def _find_excerpt(hit: Hit, sentence: Span | None) -> Span:
    """Return the excerpt: a short passage in full, else the part with the most matches or the nearest sentence."""
    length = len(hit.passage)
    if length <= SHOWN_CHARACTERS:
        return 0, length
    starts = [start for start, _ in hit.highlights] or [sentence[0] if sentence else 0]
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


def _wrap(text: str, marked: Sequence[Span], width: int, *, underlined: Sequence[Span] = ()) -> Iterator[Line]:
    """Yield the lines of a text, in which runs of white space are single spaces, with parts of it styled.

    Args:
        text: the text.
        marked: the characters to highlight.
        width: columns of a line. A wide character takes two, a combining one none.
        underlined: the characters to underline.
    """
    end = 0
    for shown in _wrap_text(text, width):
        start = text.index(shown, end)
        end = start + len(shown)
        cuts = {at for span in (*marked, *underlined) for at in span if start < at < end}
        line: list[str | Styled] = []
        for a, b in pairwise(sorted({start, end, *cuts})):
            is_marked = _is_within(a, b, marked)
            is_underlined = _is_within(a, b, underlined)
            styled = Styled(text[a:b], MATCH_COLOR if is_marked else None, bold=is_marked, underline=is_underlined)
            line.append(styled if is_marked or is_underlined else text[a:b])
        yield line


def _wrap_text(text: str, width: int) -> list[str]:
    if text.isascii():
        return [line.rstrip() for line in textwrap.wrap(text, width, break_on_hyphens=False)]
    from wcwidth import wrap  # its tables take 30 ms to load

    return wrap(text, width, break_on_hyphens=False)


def _is_within(start: int, end: int, spans: Sequence[Span]) -> bool:
    return any(a <= start and end <= b for a, b in spans)
