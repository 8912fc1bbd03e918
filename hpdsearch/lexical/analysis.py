"""Texts -> stems: the same analysis for documents and queries."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from enum import IntEnum
from functools import cache, lru_cache
from itertools import groupby

import tantivy

from hpdsearch.corpus.passages import title_and_text
from hpdsearch.lexical.scripts import (
    is_changed,
    is_token_character,
    prepare_document,
    prepare_query,
    prepare_words,
    split_into_terms,
)

TOKENIZER = "hpdsearch_english"  # the name in Tantivy's schema on disk
_MAX_TOKEN_BYTES = 255  # longer runs of letters are data
_CACHED_TEXTS = 1024  # several times the buffered passages
_CACHED_QUERIES = 64  # a hybrid search asks for the stems of its query four times

Span = tuple[int, int]  # start, end, in characters


class Analysis(IntEnum):
    """How texts become stems; a lexical folder keeps the version that it was begun with."""

    WORDS = 1  # runs of alphanumeric characters
    SCRIPTS = 2  # texts are prepared before (hpdsearch.lexical.scripts)


LATEST = Analysis.SCRIPTS


@cache
def analyzer(stop_words: bool = True, stems: bool = True) -> tantivy.TextAnalyzer:
    """Return the analyzer that splits a prepared text into stems.

    Args:
        stop_words: keep stop words, as documents do.
        stems: reduce words to their stems, as documents do.
    """
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_MAX_TOKEN_BYTES))
    builder = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold())
    if not stop_words:
        builder = builder.filter(tantivy.Filter.stopword("english"))
    if stems:
        builder = builder.filter(tantivy.Filter.stemmer("english"))
    return builder.build()


def prepare(text: str, analysis: Analysis = LATEST) -> str:
    """Return the text that the analyzer gets for a document's text."""
    return text if analysis is Analysis.WORDS else prepare_document(text)


def prepare_passage(title: str, passage: str, analysis: Analysis = LATEST) -> str:
    """Return the text that the analyzer gets for a passage; no pair of characters reaches from its title into it."""
    return title_and_text(prepare(title, analysis), prepare(passage, analysis))


@lru_cache(_CACHED_TEXTS)
def count_stems(prepared: str) -> Mapping[str, int]:
    """Return the term frequency of each stem of a prepared text; the latest texts are cached."""
    return Counter(analyzer().analyze(prepared))


def query_stems(text: str, analysis: Analysis = LATEST) -> list[str]:
    """Return the stems of a query without stop words, or all stems if the query has nothing else."""
    return list(_find_query_stems(text, analysis))


@lru_cache(_CACHED_QUERIES)
def _find_query_stems(text: str, analysis: Analysis) -> tuple[str, ...]:
    prepared = text if analysis is Analysis.WORDS else prepare_query(text)
    return tuple(analyzer(stop_words=False).analyze(prepared) or analyzer().analyze(prepared))


def split_words(text: str, analysis: Analysis = LATEST) -> list[str]:
    """Return the words of a text in their order, in lower case without accents; single characters without spaces."""
    prepared = text if analysis is Analysis.WORDS else prepare_words(text)
    return analyzer(stems=False).analyze(prepared)


def find_spans(stems: Set[str], passage: str, analysis: Analysis = LATEST) -> tuple[Span, ...]:
    """Return the (start, end) characters of the tokens in a passage that have one of these stems, ascending.

    Tokens that overlap, as pairs of characters do, give one span.
    """
    if analysis is not Analysis.WORDS and is_changed(passage):
        terms = ((start, end, analyzer().analyze(term)) for start, end, term in split_into_terms(passage))
        return _join_overlapping(sorted((start, end) for start, end, found in terms if not stems.isdisjoint(found)))
    if not hasattr(analyzer(), "pre_tokenize"):  # Tantivy 0.26, the last version for Python 3.10
        return tuple((start, end) for start, end, stem in split_into_stems(passage) if stem in stems)
    tokens = analyzer().pre_tokenize(passage).tokens
    return tuple((t.char_offset_from, t.char_offset_to or 0) for t in tokens if t.text in stems)


def _join_overlapping(spans: list[Span]) -> tuple[Span, ...]:
    """Join the spans that overlap; they ascend."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def split_into_stems(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, stem) of each token, in characters, as Tantivy's tokenizer splits a text."""
    end = 0
    for is_token, run in groupby(text, key=is_token_character):
        token = "".join(run)
        start = end
        end += len(token)
        if is_token:
            yield from ((start, end, stem) for stem in analyzer().analyze(token))
