"""Find the documents that meet a condition of a query.

The lexical index holds no positions. It names the passages that hold all words; exact words are compared with the
text of their documents. Where many documents hold them, a search compares only the documents that it meets.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import reduce

import numpy as np

from hpdsearch.catalog import Catalog
from hpdsearch.common.vectors import Rows
from hpdsearch.lexical import Analysis, LexicalReader, Word, query_words, split_words
from hpdsearch.records import Document
from hpdsearch.search.query_syntax import Condition

MAX_CANDIDATES = 5_000  # up to so many passages with the stems of exact words are all compared: 0.1 s
MIN_SHARE = 0.01  # of all passages must pass; else a search would meet too many documents that do not
_SAMPLE = 200  # passages
_BLOCK = 1000  # documents in memory


def find_rows(catalog: Catalog, lexical: LexicalReader, condition: Condition) -> Rows | None:
    """Return all rows (n,), ascending, of the documents that hold the words of a condition.

    Returns:
        None if the words hold no letter or digit.
    """
    words = list(dict.fromkeys(query_words(condition.words, lexical.analysis)))
    if not words:
        return None
    find = _find_exact_words if condition.is_exact else _find_all_words
    return np.array(sorted(catalog.docs_by_row(find(catalog, lexical, condition.words, words))), np.int64)


def is_common(catalog: Catalog, lexical: LexicalReader, condition: Condition) -> bool:
    """Tell whether so many documents meet a condition of exact words that only those a search meets are compared."""
    words = list(dict.fromkeys(query_words(condition.words, lexical.analysis)))
    if not condition.is_exact or not words or min(lexical.count_rows(*word) for word in words) <= MAX_CANDIDATES:
        return False
    rows = lexical.rows_with(*words)
    if len(rows) <= MAX_CANDIDATES:
        return False
    sample = set(catalog.docs_of_rows(rows[:: -(-len(rows) // _SAMPLE)]).values())
    n_held = len(find_holders(catalog, lexical, condition.words, sample)) / max(1, len(sample)) * len(rows)
    n_passing = lexical.n_rows - n_held if condition.is_excluded else n_held
    return n_passing >= MIN_SHARE * lexical.n_rows


def find_holders(catalog: Catalog, lexical: LexicalReader, words: str, docs: Collection[int]) -> set[int]:
    """Return those of the documents that hold exactly these words in this order."""
    found: set[int] = set()
    numbers = sorted(docs)
    for start in range(0, len(numbers), _BLOCK):
        stored = catalog.documents(numbers[start : start + _BLOCK])
        found.update(doc for doc, each in stored.items() if holds_words(each.document, words, lexical.analysis))
    return found


def _find_all_words(catalog: Catalog, lexical: LexicalReader, _: str, words: Sequence[Word]) -> list[int]:
    found = [set(catalog.docs_of_rows(lexical.rows_with(word)).values()) for word in words]
    return sorted(set.intersection(*found))


def _find_exact_words(catalog: Catalog, lexical: LexicalReader, text: str, words: Sequence[Word]) -> list[int]:
    docs = _find_likely(catalog, [lexical.rows_with(word) for word in words])
    return sorted(find_holders(catalog, lexical, text, docs))


def _find_likely(catalog: Catalog, rows_by_word: Sequence[Rows]) -> list[int]:
    """Return the documents that may hold words in order: one passage, or two of a run, hold all of them."""
    in_one = set(reduce(np.intersect1d, rows_by_word).tolist())
    doc_of_row = catalog.docs_of_rows(reduce(np.intersect1d, map(_with_neighbors, rows_by_word)))
    n_rows = Counter(doc_of_row.values())
    return sorted({doc for row, doc in doc_of_row.items() if row in in_one or n_rows[doc] > 1})


def _with_neighbors(rows: Rows) -> Rows:
    """Add the rows beside these: the passages of a document lie in a run, and exact words may reach into the next."""
    return np.unique(np.concatenate([rows - 1, rows, rows + 1]))


def holds_words(document: Document, words: str, analysis: Analysis) -> bool:
    """Tell whether the title or the text of a document holds exactly these words in this order."""
    wanted = _join(split_words(words, analysis))
    return any(wanted in _join(split_words(part, analysis)) for part in (document.title, document.text))


def _join(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "
