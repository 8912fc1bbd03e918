"""A BM25 index of some texts in a temporary folder."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hpdsearch.lexical.reader import LexicalReader
from hpdsearch.lexical.writer import LexicalWriter


@contextmanager
def temporary_bm25_index(texts: Iterable[str]) -> Iterator[LexicalReader]:
    """Yield a reader of these texts, whose rows are 0, 1, 2, ...; the folder is deleted when the block ends."""
    # On a busy machine Tantivy's threads may still write into the folder while it is deleted.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        writer = LexicalWriter(Path(folder))
        for row, text in enumerate(texts):
            writer.add(row, "", text)
        writer.commit()
        writer.close()
        yield LexicalReader(Path(folder))
