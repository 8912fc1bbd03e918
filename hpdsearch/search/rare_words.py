"""Documents that hold an identifier of the query, or the rare words that make up much of it, come first.

An identifier (E1234-77, CVE-2021-44228, v2.7.1, not 1960s or 3rd) has a digit beside a letter or a sign. Encoders split
it into pieces that mean nothing, and among many words its BM25 decides little (docs/decisions/0054-identifiers.md). The
same holds for a rare word that the encoder's vocabulary does not have whole. One that it has is an ordinary word, rare
in this corpus by chance, and gets nothing (docs/decisions/0078-known-words.md).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Set

from hpdsearch.catalog import Catalog
from hpdsearch.common.vectors import Rows
from hpdsearch.lexical import LexicalReader, query_words
from hpdsearch.lexical.tantivy_formats import idf
from hpdsearch.records import Document
from hpdsearch.search.conditions import holds_words

MAX_IDENTIFIER_ROWS = 100  # more passages hold its rarest part: it identifies none
MAX_RARE_ROWS = 10  # as many passages hold a rare word at most,
MAX_RARE_SHARE = 0.001  # and so many of all passages
MIN_IDF_SHARE = 0.4  # of the query's idf must be that of the rare words that a document holds
MAX_CHARACTERS = 80  # of an identifier; the time of the pattern grows with their square

KnownWords = Callable[[str], Set[str]]

_DIGIT = re.compile(r"\d")
_IDENTIFIER = re.compile(r"(?!(?i:\d+(?:s|st|nd|rd|th))\Z)(?=\S*\d)(?:\w*[^\W\d_]\w*|\w+(?:[-./:]\w+)+)(?:[-./:]\w+)*")


def bonuses(
    lexical: LexicalReader,
    text: str,
    known_words: KnownWords,
    docs_of_rows: Callable[[Rows], Mapping[int, int]],
    read_documents: Callable[[Set[int]], Mapping[int, Document]],
) -> dict[int, float]:
    """Return what is added to the hybrid scores of documents that hold identifiers or rare words of a query.

    Args:
        lexical: the lexical index.
        text: the query.
        known_words: text -> its words that the encoder has whole; only called if the query has rare words.
        docs_of_rows: rows -> the document of each that is live.
        read_documents: document numbers -> the documents.

    Returns:
        by document: the share of the query's identifiers that it holds, or 1 for rare words.
    """
    added: dict[int, float] = {}
    held = [docs for word in find_identifiers(text) if (docs := _holders(lexical, word, docs_of_rows, read_documents))]
    for doc in set().union(*held):
        added[doc] = sum(doc in docs for docs in held) / len(held)
    for doc in _holders_of_rare_words(lexical, text, known_words, docs_of_rows):
        added[doc] = 1.0
    return added


def catalog_bonuses(catalog: Catalog, lexical: LexicalReader, text: str, known_words: KnownWords) -> dict[int, float]:
    """Return the bonuses of the documents of a catalog; see `bonuses`."""

    def read_documents(docs: Set[int]) -> dict[int, Document]:
        return {doc: stored.document for doc, stored in catalog.documents(sorted(docs)).items()}

    return bonuses(lexical, text, known_words, catalog.docs_of_rows, read_documents)


def find_identifiers(text: str) -> list[str]:
    """Return the words of a text with a digit beside a letter or a sign, once each."""
    if not _DIGIT.search(text):
        return []
    words = (word.strip("\"'()[]{}<>.,;:!?#") for word in text.split())
    return list(dict.fromkeys(word for word in words if len(word) <= MAX_CHARACTERS and _IDENTIFIER.fullmatch(word)))


def _holders(
    lexical: LexicalReader,
    word: str,
    docs_of_rows: Callable[[Rows], Mapping[int, int]],
    read_documents: Callable[[Set[int]], Mapping[int, Document]],
) -> set[int]:
    """Return the documents that hold an identifier, if few passages hold its rarest part."""
    counts = {part: lexical.count_rows(*part) for part in query_words(word, lexical.analysis)}
    if not counts or not 0 < min(counts.values()) <= MAX_IDENTIFIER_ROWS:
        return set()
    docs = set(docs_of_rows(lexical.rows_with(min(counts, key=counts.__getitem__))).values())
    return {doc for doc, each in read_documents(docs).items() if holds_words(each, word, lexical.analysis)}


def _holders_of_rare_words(
    lexical: LexicalReader, text: str, known_words: KnownWords, docs_of_rows: Callable[[Rows], Mapping[int, int]]
) -> set[int]:
    """Return the documents whose rare words of the query, those that the encoder splits, have enough of its idf."""
    limit = min(MAX_RARE_ROWS, MAX_RARE_SHARE * lexical.n_rows)
    counts = {word: lexical.count_rows(*word) for word in query_words(text, lexical.analysis)}
    weights = {word: idf(lexical.n_rows, n) for word, n in counts.items() if n}
    least = MIN_IDF_SHARE * sum(weights.values())
    rare = [word for word in weights if counts[word] <= limit]
    if not rare or sum(weights[word] for word in rare) < least:
        return set()
    ordinary = {word for known in known_words(text) for word in query_words(known, lexical.analysis)}
    rare = [word for word in rare if word not in ordinary]
    held: defaultdict[int, float] = defaultdict(float)
    for word in rare:
        for doc in set(docs_of_rows(lexical.rows_with(word)).values()):
            held[doc] += weights[word]
    return {doc for doc, weight in held.items() if weight >= least}
