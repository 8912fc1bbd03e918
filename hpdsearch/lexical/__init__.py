"""Words -> rows: BM25 over title and text, English stemming (Tantivy). Derived from the catalog, keyed by row.

One lexical document is one passage with its document's title. Readers hold the searcher that they opened: what a writer
commits or removes afterwards does not reach them.
"""

from hpdsearch.lexical.analysis import query_stems, spans_of
from hpdsearch.lexical.integrity import commit_fingerprint, corrupt_files, read_meta, remove_lexical, sweep_lexical
from hpdsearch.lexical.reader import LexicalReader
from hpdsearch.lexical.temporary import temporary_bm25_index
from hpdsearch.lexical.writer import LexicalWriter, fits_in_buffer

__all__ = [
    "LexicalReader",
    "LexicalWriter",
    "commit_fingerprint",
    "corrupt_files",
    "fits_in_buffer",
    "query_stems",
    "read_meta",
    "remove_lexical",
    "spans_of",
    "sweep_lexical",
    "temporary_bm25_index",
]
