"""Prepare texts of all scripts for Tantivy's tokenizer, which splits at every character that is not alphanumeric.

Characters that are written in several ways become one (compatibility forms, accents, digits, invisible characters), and
scripts without spaces are split into characters and pairs of neighbors, as Lucene's CJKAnalyzer does. Another way to
find words, such as a segmenter of one language, belongs here too.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import groupby, pairwise

import tantivy

Term = tuple[int, int, str]  # start, end, in characters of the text; what Tantivy tokenizes

_TATWEEL = "\u0640"  # lengthens Arabic words
_INVISIBLE = (  # Default_Ignorable_Code_Point of Unicode
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Fractions, circled numbers and the like would join their neighbors: NFKC makes 51⁄2 of 5½.
_SEPARATE = re.compile("[\u00bc-\u00be\u2150-\u215f\u2189\u2460-\u24ff\u3200-\u32ff\u3358-\u3370\u33e0-\u33fe]")
_IGNORED = re.compile(f"[{_TATWEEL}{_INVISIBLE}]+")
# Every character that preparation changes, and others of the same ranges; texts without them are left as they are.
_CHANGED = re.compile(
    "[\u00aa\u00ad\u00b2\u00b3\u00b5\u00b9\u00ba\u00bc-\u00be\u0130\u0132\u0133\u013f\u0140\u0149\u017f\u01c4-\u01cc"
    "\u01f1-\u01f3\u02b0-\u02ff\u0300-\u0374\u037a\u0384-\u0387\u03d0-\u03d6\u03f0-\u03f9\u0483-\u0489\u0587-\u1dff"
    "\u1e9a\u1e9b\u1f00-\u1fff\u200b-\u200f\u202a-\u202e\u2060-\u209f\u20a8\u20d0-\u218f\u2460-\u24ff\u2c7c-\uabff"
    "\ud7b0-\ud7ff\uf900-\uffff\U00010000-\U0001efff\U0001f100-\U0001f2ff\U0001fb00-\U0010ffff]"
)
_LETTERS_WITHOUT_SPACES = (  # ranges of letters alone: Han, Tangut, Khitan, Nushu, older kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00017000-\U00018dff\U0001b000-\U0001b2ff\U00020000-\U0003ffff"
)
_BLOCKS_WITHOUT_SPACES = (  # blocks of letters, marks, digits and punctuation
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3000, 0x312F),  # CJK, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo
    (0x31F0, 0x31FF),  # Katakana
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0x116D0, 0x116FF),  # Myanmar
    (0x11700, 0x1174F),  # Ahom
    (0x16FE0, 0x16FFF),  # ideographic symbols
)


def prepare_document(text: str) -> str:
    """Return the text that Tantivy tokenizes in place of a document's text.

    Where a script has no spaces, it holds each character and each pair of neighbors. A character becomes at most 18
    letters (NFKC); a mark that Tantivy splits at becomes the digits of its code point. All count three times in a
    script without spaces.
    """
    return _prepare(text, _characters_and_pairs)


def prepare_query(text: str) -> str:
    """Return the text that Tantivy tokenizes in place of a query: pairs alone, because they are closer to words.

    A character without neighbors stands for itself.
    """
    return _prepare(text, _pairs)


def prepare_words(text: str) -> str:
    """Return the text that Tantivy tokenizes to compare words in their order: single characters, no pairs."""
    return _prepare(text, list)


def is_changed(text: str) -> bool:
    """Tell whether preparation may change a text; it does not change English in ASCII."""
    return not text.isascii() and _CHANGED.search(text) is not None


def _prepare(text: str, split: Callable[[list[str]], list[str]]) -> str:
    if not is_changed(text):
        return text
    composed = _compose(text)
    unit, run = _unit_and_run()
    spaced = run.sub(lambda found: f" {' '.join(split(unit.findall(found[0])))} ", composed)
    return spaced.translate(_FOLDED)


def _pairs(units: list[str]) -> list[str]:
    return [a + b for a, b in pairwise(units)] or units


def _characters_and_pairs(units: list[str]) -> list[str]:
    return units + _pairs(units) if len(units) > 1 else units


def split_into_terms(text: str) -> Iterator[Term]:
    """Yield the terms of `prepare_document(text)`, separated at all characters that are not alphanumeric."""
    composed, starts, ends = _compose_with_spans(text)
    unit, run = _unit_and_run()
    after = 0

    def place(*spans: tuple[int, int]) -> Term:
        term = "".join(composed[start:end] for start, end in spans)
        return starts[spans[0][0]], ends[spans[-1][1] - 1], term.translate(_FOLDED)

    for found in run.finditer(composed):
        yield from (place(span) for span in _word_spans(composed, after, found.start()))
        units = [match.span() for match in unit.finditer(composed, *found.span())]
        yield from (place(span) for span in units)
        yield from (place(*pair) for pair in pairwise(units))
        after = found.end()
    yield from (place(span) for span in _word_spans(composed, after, len(composed)))


def _compose(text: str) -> str:
    """Return the text in NFKC without ignored characters."""
    return unicodedata.normalize("NFKC", _SEPARATE.sub(r" \g<0> ", _IGNORED.sub("", text)))


def _compose_with_spans(text: str) -> tuple[str, list[int], list[int]]:
    """Return `_compose(text)`, and for each of its characters where its span in the text starts and ends."""
    composed: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _continues(text[end]):
            part = _compose(text[start:end])
            composed.append(part)
            starts += [start] * len(part)
            ends += [end] * len(part)
            start = end
    return "".join(composed), starts, ends


def _word_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the words of text[start:end]."""
    for is_word, run in groupby(range(start, end), key=lambda i: _is_word_character(text[i])):
        if is_word:
            positions = list(run)
            yield positions[0], positions[-1] + 1


@lru_cache(4096)
def _is_word_character(character: str) -> bool:
    return is_token_character(character) or unicodedata.category(character)[0] == "M"


@lru_cache(4096)
def is_token_character(character: str) -> bool:
    """Tell whether Tantivy takes a character as alphanumeric; Python's rules differ."""
    return bool(_splitter().analyze(character))


@cache
def _splitter() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).build()


@lru_cache(4096)
def _continues(character: str) -> bool:
    """Tell whether normalization may join a character to the one before it."""
    is_part_of_hangul = any(
        first <= character <= last
        for first, last in ("\u1100\u11ff", "\u3131\u318e", "\ua960\ua97f", "\ud7b0\ud7ff", "\uff9e\uffdc")
    )
    is_mark = unicodedata.category(character)[0] == "M"
    return is_mark or is_part_of_hangul or _IGNORED.match(character) is not None


@cache
def _unit_and_run() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the pattern of a character with its marks in a script without spaces, and that of a run of them.

    A run goes on behind a line break, because texts without spaces are wrapped inside words.
    """
    characters = [chr(code) for first, last in _BLOCKS_WITHOUT_SPACES for code in range(first, last + 1)]
    letters = "".join(c for c in characters if unicodedata.category(c) in ("Lo", "Lm", "Nl", "No"))
    marks = "".join(c for c in characters if unicodedata.category(c)[0] == "M")
    unit = f"[{_LETTERS_WITHOUT_SPACES}{letters}][\u0300-\u036f{marks}]*"
    return re.compile(unit), re.compile(f"{unit}(?:\\r?\\n?{unit})*")


class _Folding(dict[int, int | str]):
    """The folded form of each character that was met, by code point."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        category = unicodedata.category(character)
        folded: int | str = code
        if category == "Nd":
            folded = str(unicodedata.digit(character))
        elif _IGNORED.match(character) or category == "Me" or _is_accent(character):
            folded = ""
        elif category[0] == "M" and not is_token_character(character):
            folded = str(code)  # Tantivy would split a word here
        elif character == "\u0130":
            folded = "I"  # Tantivy would lowercase it to i and a mark
        elif character == "\u02bc":
            folded = "'"  # an apostrophe that counts as a letter
        self[code] = folded
        return folded


def _is_accent(character: str) -> bool:
    """Tell whether a character is an accent, an overlay, or a vowel point of Hebrew, Arabic or Syriac.

    Other combining classes are those of marks that tell words apart, such as the tones of Thai.
    """
    combining = unicodedata.combining(character)
    return combining == 1 or 10 <= combining <= 36 or combining >= 200


_FOLDED = _Folding()
