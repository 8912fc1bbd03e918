"""Words -> rows: BM25 over title and text, English stemming (Tantivy). Derived from the catalog, keyed by row.

One lexical document is one passage with its document's title. Readers hold the searcher that they opened: what a writer
commits or removes afterwards does not reach them.
"""

from hpdsearch.lexical.analysis import find_spans, query_stems
from hpdsearch.lexical.integrity import (
    clean_lexical_folder,
    commit_fingerprint,
    corrupt_files,
    read_meta,
    remove_lexical_folder,
)
from hpdsearch.lexical.reader import LexicalReader
from hpdsearch.lexical.temporary import temporary_bm25_index
from hpdsearch.lexical.writer import LexicalWriter, fits_in_buffer

__all__ = [
    "LexicalReader",
    "LexicalWriter",
    "clean_lexical_folder",
    "commit_fingerprint",
    "corrupt_files",
    "find_spans",
    "fits_in_buffer",
    "query_stems",
    "read_meta",
    "remove_lexical_folder",
    "temporary_bm25_index",
]
