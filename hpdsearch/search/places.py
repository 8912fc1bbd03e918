"""The place of a passage in its document: a page, a slide, a heading, a line."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from hpdsearch.corpus.locations import split_line
from hpdsearch.corpus.sources import CODE_ENDINGS, MAILBOX_ENDING, split_ending
from hpdsearch.records import Document, Passage

TEXT_ENDINGS = {".txt", ".rst"} | CODE_ENDINGS  # files whose lines are those of the document
PLACE_NAMES = {".txt": "line", MAILBOX_ENDING: "message"}  # files of which a line or message is a document


def name_location(document: Document, passage: Passage, highlights: Sequence[tuple[int, int]]) -> str:
    """Return the place of a passage, "" if it is unknown.

    A passage may lie in several parts of a document: the one with the most matching words is named, the first of equal
    ones; without any, the one in which the passage begins.

    Args:
        document: the document; for texts without parts, its source tells what its lines are.
        passage: the passage.
        highlights: (start, end) characters of the matching words in the passage.
    """
    text = document.text
    start = passage.start
    while start < passage.end and text[start].isspace():
        start += 1
    if document.locations:
        starts = [first for first, _ in document.locations]
        parts = Counter(bisect_right(starts, passage.start + at) - 1 for at, _ in highlights)
        part = parts.most_common(1)[0][0] if parts else bisect_right(starts, start) - 1
        return document.locations[part][1] if part >= 0 else ""
    location, line = split_line(document.source)
    ending = split_ending(location)[0]
    if line:
        return f"{PLACE_NAMES[ending]} {line[1:]}" if ending in PLACE_NAMES else ""
    return f"line {text.count(chr(10), 0, start) + 1}" if ending in TEXT_ENDINGS else ""
