"""The lexical index (Tantivy): BM25 over titles and passages, derived from the catalog.

Each passage is stemmed in its language. Scripts without spaces are searched by pairs of characters.

A lexical document is one passage with its document's title, keyed by row. A reader keeps the state that it opened and
sees no later commit.
"""

from hpdsearch.lexical.analysis import (
    ENGLISH_ANALYSIS,
    Analysis,
    AnalysisVersion,
    Word,
    find_spans,
    query_stems,
    query_words,
    split_words,
)
from hpdsearch.lexical.integrity import (
    clean_lexical_folder,
    commit_fingerprint,
    committed_files,
    corrupt_files,
    read_meta,
    remove_lexical_folder,
)
from hpdsearch.lexical.languages import AUTO, ENGLISH, LANGUAGES, detect_languages, parse_languages
from hpdsearch.lexical.reader import LexicalReader
from hpdsearch.lexical.sharded import OneShardLexicalReader, ShardedLexicalReader
from hpdsearch.lexical.temporary import temporary_bm25_index
from hpdsearch.lexical.writer import LexicalWriter

__all__ = [
    "AUTO",
    "ENGLISH",
    "ENGLISH_ANALYSIS",
    "LANGUAGES",
    "Analysis",
    "AnalysisVersion",
    "LexicalReader",
    "LexicalWriter",
    "OneShardLexicalReader",
    "ShardedLexicalReader",
    "Word",
    "clean_lexical_folder",
    "commit_fingerprint",
    "committed_files",
    "corrupt_files",
    "detect_languages",
    "find_spans",
    "parse_languages",
    "query_stems",
    "query_words",
    "read_meta",
    "remove_lexical_folder",
    "split_words",
    "temporary_bm25_index",
]
