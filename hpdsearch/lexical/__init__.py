"""Words -> rows: BM25 over title and text, English stemming (Tantivy). Derived from the catalog, keyed by row.

One lexical document is one passage with its document's title. Readers hold the searcher that they opened: what a writer
commits or removes afterwards does not reach them.
"""

from hpdsearch.lexical.analysis import query_stems, spans_of
from hpdsearch.lexical.integrity import altered_files, meta_of, remove_lexical, standing_of, sweep_lexical
from hpdsearch.lexical.reader import LexicalReader
from hpdsearch.lexical.temporary import words_of
from hpdsearch.lexical.writer import LexicalWriter, may_wait

__all__ = [
    "LexicalReader",
    "LexicalWriter",
    "altered_files",
    "may_wait",
    "meta_of",
    "query_stems",
    "remove_lexical",
    "spans_of",
    "standing_of",
    "sweep_lexical",
    "words_of",
]
