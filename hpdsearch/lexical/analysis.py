"""Texts -> stems: the same analysis for documents and queries."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from functools import cache, lru_cache
from itertools import groupby

import tantivy

TOKENIZER = "hpdsearch_english"  # the name in Tantivy's schema on disk
_MAX_TOKEN_BYTES = 255  # longer runs of letters are data
_CACHED_TEXTS = 1024  # several times the buffered passages


@cache
def analyzer(stop_words: bool = True) -> tantivy.TextAnalyzer:
    """Return the analyzer that splits a text into stems.

    Args:
        stop_words: keep stop words, as documents do.
    """
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_MAX_TOKEN_BYTES))
    builder = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold())
    if not stop_words:
        builder = builder.filter(tantivy.Filter.stopword("english"))
    return builder.filter(tantivy.Filter.stemmer("english")).build()


@lru_cache(_CACHED_TEXTS)
def count_stems(text: str) -> Mapping[str, int]:
    """Return the term frequency of each stem of a document's text; the latest texts are cached."""
    return Counter(analyzer().analyze(text))


def query_stems(text: str) -> list[str]:
    """Return the stems of a query without stop words, or all stems if the query has nothing else."""
    return analyzer(stop_words=False).analyze(text) or analyzer().analyze(text)


def find_spans(stems: Set[str], passage: str) -> tuple[tuple[int, int], ...]:
    """Return the (start, end) characters of the tokens in a passage that have one of these stems, ascending."""
    if not hasattr(analyzer(), "pre_tokenize"):  # Tantivy 0.26, the last version for Python 3.10
        return tuple((start, end) for start, end, stem in split_into_stems(passage) if stem in stems)
    tokens = analyzer().pre_tokenize(passage).tokens
    return tuple((t.char_offset_from, t.char_offset_to or 0) for t in tokens if t.text in stems)


def split_into_stems(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, stem) of each token, in characters, as Tantivy's tokenizer splits a text."""
    end = 0
    for is_token, run in groupby(text, key=_is_token_character):
        token = "".join(run)
        start = end
        end += len(token)
        if is_token:
            yield from ((start, end, stem) for stem in analyzer().analyze(token))


@lru_cache(4096)
def _is_token_character(character: str) -> bool:
    """Ask Tantivy: its alphanumeric characters are not those of Python."""
    return bool(_splitter().analyze(character))


@cache
def _splitter() -> tantivy.TextAnalyzer:
    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).build()
