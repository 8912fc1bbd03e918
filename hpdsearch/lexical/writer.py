"""Adding rows to a lexical folder and removing them from it."""

from collections.abc import Sequence
from pathlib import Path

import tantivy

from hpdsearch.lexical.analysis import TOKENIZER, analyzer, searched_text
from hpdsearch.lexical.integrity import reading, schema, writing

_WRITER_BYTES = 64_000_000
_REMOVE_ROWS = 10_000  # named in one query
# Tantivy's commit of one document calls fsync 14 times, 75 ms on a common disk: so few rows wait for others in memory.
MAX_BUFFERED_ROWS = 64


def fits_in_buffer(n_buffered: int, n_committed: int) -> bool:
    """Tell whether so many rows may wait beside those committed, whose statistics weigh the words of both."""
    return n_buffered <= min(MAX_BUFFERED_ROWS, n_committed)


class LexicalWriter:
    """Adds and removes rows of one lexical folder; nothing is visible before commit()."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with reading(folder):
            self._index = tantivy.Index(schema(), path=str(folder))
            self._index.register_tokenizer(TOKENIZER, analyzer())
        with writing(folder):
            self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)

    def add(self, row: int, title: str, passage: str) -> None:
        """Add one passage under its row."""
        document = tantivy.Document()
        document.add_unsigned("row", row)
        document.add_text("body", searched_text(title, passage))
        with writing(self._folder):
            self._writer.add_document(document)

    def remove(self, rows: Sequence[int]) -> None:
        """Remove these rows."""
        # delete_documents_by_term() takes an int for a signed term and silently removes nothing of an unsigned field.
        for start in range(0, len(rows), _REMOVE_ROWS):
            query = tantivy.Query.term_set_query(self._index.schema, "row", rows[start : start + _REMOVE_ROWS])
            with writing(self._folder):
                self._writer.delete_documents_by_query(query)

    def remove_from(self, first_row: int) -> None:
        """Remove every row >= first_row."""
        query = tantivy.Query.range_query(
            self._index.schema, "row", tantivy.FieldType.Unsigned, lower_bound=first_row, upper_bound=None
        )
        with writing(self._folder):
            self._writer.delete_documents_by_query(query)

    def commit(self) -> None:
        """Make everything so far durable and visible to readers that open from now on."""
        with writing(self._folder):
            self._writer.commit()

    def close(self) -> None:
        """Wait for merges, let go of the folder; what was not committed is dropped."""
        with writing(self._folder):
            self._writer.wait_merging_threads()
