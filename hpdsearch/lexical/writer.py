"""Add rows to a lexical folder and remove rows from it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from weakref import WeakSet

import tantivy

from hpdsearch.common.forks import call_in_child, keep_forever
from hpdsearch.lexical.analysis import ENGLISH_ANALYSIS, Analysis, prepare_passage, register_tokenizers
from hpdsearch.lexical.integrity import reading, schema, share_files, writing

_WRITER_BYTES = 64_000_000
_MAX_ROWS_IN_QUERY = 10_000


_open_writers: WeakSet["LexicalWriter"] = WeakSet()


class LexicalWriter:
    """Adds and removes rows of one lexical folder; readers see no change before commit()."""

    def __init__(self, folder: Path, analysis: Analysis = ENGLISH_ANALYSIS) -> None:
        """Open a folder for writing; create it if there is none.

        Args:
            folder: the lexical folder.
            analysis: the analysis that the folder was begun with.

        Raises:
            IndexFolderError: the folder cannot be written.
            CorruptIndexError: the folder holds files that Tantivy cannot read.
        """
        self._folder = folder
        self._analysis = analysis
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with reading(folder):
            self._index = tantivy.Index(schema(analysis.tokenizer), path=str(folder))
            register_tokenizers(self._index)
        with writing(folder):
            self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)
        _open_writers.add(self)

    def add(self, row: int, title: str, passage: str) -> None:
        """Add one passage under its row."""
        self.add_all([(row, title, passage)])

    def add_all(self, passages: Iterable[tuple[int, str, str]]) -> None:
        """Add passages: row, title and text of each."""
        with writing(self._folder):
            for row, title, passage in passages:
                document = tantivy.Document()
                document.add_unsigned("row", row)
                document.add_text("body", prepare_passage(title, passage, self._analysis))
                self._writer.add_document(document)

    def remove(self, rows: Sequence[int]) -> None:
        """Remove these rows."""
        # delete_documents_by_term() reads an int as a signed term and silently removes nothing from an unsigned field.
        for start in range(0, len(rows), _MAX_ROWS_IN_QUERY):
            query = tantivy.Query.term_set_query(self._index.schema, "row", rows[start : start + _MAX_ROWS_IN_QUERY])
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
        """Commit all changes durably; readers that open afterwards see them."""
        with writing(self._folder):
            self._writer.commit()
            share_files(self._folder)

    def close(self) -> None:
        """Wait for merges and release the folder; uncommitted changes are dropped."""
        with writing(self._folder):
            self._writer.wait_merging_threads()
            share_files(self._folder)


def _leave_writers_to_parent() -> None:
    """Keep a forked child from freeing writers: it would wait for their threads, which only the parent has."""
    for writer in list(_open_writers):
        keep_forever(writer)


call_in_child(_leave_writers_to_parent)
