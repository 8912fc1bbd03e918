"""Texts -> word stems, for documents and queries alike."""

from collections import Counter
from collections.abc import Mapping, Set
from functools import cache, lru_cache

import tantivy

TOKENIZER = "hpdsearch_english"
_LONGEST_WORD = 255  # bytes; longer runs of letters are data, not words
_COUNTED = 1024  # texts: several times the rows that wait


@cache
def analyzer(stop_words: bool = True) -> tantivy.TextAnalyzer:
    """Return what cuts texts into stems; documents keep their stop words."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_LONGEST_WORD))
    builder = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold())
    if not stop_words:
        builder = builder.filter(tantivy.Filter.stopword("english"))
    return builder.filter(tantivy.Filter.stemmer("english")).build()


def searched_text(title: str, passage: str) -> str:
    """Return the text whose words stand for a passage."""
    return f"{title}\n{passage}" if title else passage


@lru_cache(_COUNTED)
def counted_stems(text: str) -> Mapping[str, int]:
    """Return how often each stem stands in a document's text; the last texts are remembered."""
    return Counter(analyzer().analyze(text))


def query_stems(text: str) -> list[str]:
    """Return the word stems that a query looks for: without stop words, unless it has nothing else."""
    return analyzer(stop_words=False).analyze(text) or analyzer().analyze(text)


def find_spans(stems: Set[str], passage: str) -> tuple[tuple[int, int], ...]:
    """Return the (start, end) characters of the words in passage with one of these stems, ascending."""
    tokens = analyzer().pre_tokenize(passage).tokens
    return tuple((t.char_offset_from, t.char_offset_to or 0) for t in tokens if t.text in stems)
