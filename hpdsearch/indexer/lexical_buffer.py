"""What a change does to the lexical index: its passages wait in the catalog, or are written to the folder.

Committing a lexical folder costs more than all the rest of adding a document, so few new passages are left to wait.
"""

from pathlib import Path
from typing import Any

from hpdsearch.catalog import CatalogWriter
from hpdsearch.lexical import LexicalWriter, commit_fingerprint, fits_in_buffer, read_meta
from hpdsearch.search.lexical_files import FIRST_BUFFERED_ROW, OPSTAMP, SUM, passages_between

UNPURGED_ROWS = 1000  # so many dead rows, which no search finds, may lie in a lexical folder


class LexicalBuffer:
    """What a change does to the words: its passages wait, or are written together with all that waited."""

    def __init__(self, folder: Path, catalog: CatalogWriter, meta: dict[str, Any], next_row: int) -> None:
        """Begin a change.

        Args:
            folder: the index folder.
            catalog: open for writing.
            meta: its settings; commit() changes them.
            next_row: the first row that the change gives out.
        """
        self._folder, self._catalog, self._meta, self._next_row = folder, catalog, meta, next_row
        self._dead = (
            catalog.unpurged_rows()
        )  # in the state before the change: rows that it deletes must stay until its commit
        self._new: list[tuple[int, str, str]] = []
        self._writer: LexicalWriter | None = None
        self._is_new_folder = False

    def begin_folder(self, name: str) -> None:
        """Write all words anew, into a folder of this name; every passage must be added."""
        self.close()
        self._meta["lexical"] = name
        self._new, self._is_new_folder = [], True

    def add(self, row: int, title: str, text: str) -> None:
        """Add a passage under its row."""
        self._new.append((row, title, text))
        if not fits_in_buffer(len(self._new), len(self._new)):  # more than may wait in any index: they need not be held
            self._write()

    def commit(self, next_row: int) -> None:
        """Make the words durable; the catalog's commit, which must follow, brings them into force.

        Args:
            next_row: the first row that the change has not given out.
        """
        if self._is_new_folder or self._writer is not None or self._is_dirty() or not self._may_wait():
            self._write()
            self._commit_writer(next_row)
            self._catalog.mark_purged(self._catalog.unpurged_rows() if self._is_new_folder else self._dead)

    def purge(self) -> None:
        """After the catalog's commit: remove the dead rows from the folder if they are many."""
        dead = self._catalog.unpurged_rows()
        if len(dead) > UNPURGED_ROWS:
            self._catalog.begin()
            self._write()
            self._opened().remove(dead)
            self._commit_writer(self._meta["next_row"])
            self._catalog.mark_purged(dead)
            self._catalog.set_meta(**self._meta)
            self._catalog.commit()

    def close(self) -> None:
        """Let go of the folder; what was not committed is dropped."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    @property
    def _path(self) -> Path:
        return self._folder / str(self._meta["lexical"])

    def _opened(self) -> LexicalWriter:
        if self._writer is None:
            self._writer = LexicalWriter(self._path)
            if not self._is_new_folder:
                first_row = self._meta.get(FIRST_BUFFERED_ROW, self._next_row)
                self._writer.remove_from(first_row)  # of a writer that died before its commit: they are given out again
                self._writer.remove(self._dead)
                for row, title, text in passages_between(self._catalog, first_row, self._next_row):
                    self._writer.add(row, title, text)
        return self._writer

    def _write(self) -> None:
        writer = self._opened()
        for row, title, text in self._new:
            writer.add(row, title, text)
        self._new.clear()

    def _commit_writer(self, next_row: int) -> None:
        self._opened().commit()
        opstamp, found = commit_fingerprint(self._path, read_meta(self._path))
        self._meta |= {FIRST_BUFFERED_ROW: next_row, OPSTAMP: opstamp, SUM: found}

    def _is_dirty(self) -> bool:
        """Tell whether a writer that died, or an older version, left rows that the catalog does not know."""
        return self._meta.get(OPSTAMP) != commit_fingerprint(self._path, read_meta(self._path))[0]

    def _may_wait(self) -> bool:
        first_row = self._meta.get(FIRST_BUFFERED_ROW, self._next_row)
        n_buffered = len(self._catalog.passages_between(first_row, self._next_row))
        n_rows = sum(entry.n_rows for entry in self._catalog.segments())
        return fits_in_buffer(n_buffered + len(self._new), n_rows - n_buffered)
