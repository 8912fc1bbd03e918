"""The lexical rows that a transaction adds: few stay buffered in the catalog, many are written to the lexical folder.

Committing a lexical folder costs more than all other steps of adding a document.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpdsearch.catalog import CatalogWriter
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.lexical import LexicalWriter, commit_fingerprint, read_meta
from hpdsearch.search.lexical_files import CHECKSUM, FIRST_BUFFERED_ROW, OPSTAMP, passages_between, read_analysis


class LexicalBuffer:
    """Takes the passages of new rows; `commit` leaves them in the catalog, or writes them with all buffered ones."""

    def __init__(
        self, folder: Path, catalog: CatalogWriter, meta: Mapping[str, Any], next_row: int, policy: MergePolicy
    ) -> None:
        """Begin with the transaction.

        Args:
            folder: the index folder.
            catalog: the catalog, open for writing.
            meta: a view of the transaction's settings; only the transaction changes them.
            next_row: the first row that the transaction allocates.
            policy: says how many rows are buffered.
        """
        self._folder = folder
        self._catalog = catalog
        self._meta = meta
        self._next_row = next_row
        self._policy = policy
        # Rows deleted before this transaction: those that it deletes itself must stay in the folder until its commit.
        self._unpurged = catalog.unpurged_rows()
        self._new: list[tuple[int, str, str]] = []
        self._writer: LexicalWriter | None = None
        self._is_new_folder = False

    def begin_folder(self) -> None:
        """Write all passages to a new folder, whose name the transaction has set; the caller adds every passage."""
        self.close()
        self._new = []
        self._is_new_folder = True

    def add(self, passages: Iterable[tuple[int, str, str]]) -> None:
        """Add passages: row, title and text of each."""
        self._new += passages
        n_new = len(self._new)
        if not self._policy.fits_in_buffer(n_new, n_new):  # too many for any index: write them to free the memory
            self._write_new()

    def commit(self, next_row: int) -> dict[str, Any]:
        """Make the passages durable; the catalog's commit, which must follow, activates them.

        Args:
            next_row: the first row that the transaction has not allocated.

        Returns:
            the settings that the catalog's commit must store; none if all passages stay buffered.
        """
        if not (self._is_new_folder or self._writer is not None or self._is_dirty() or not self._fits_in_buffer()):
            return {}
        self._write_new()
        settings = self._commit_folder(next_row)
        self._catalog.mark_purged(self._catalog.unpurged_rows() if self._is_new_folder else self._unpurged)
        return settings

    def purge(self, rows: Sequence[int], next_row: int) -> dict[str, Any]:
        """Remove deleted rows from the folder, after the transaction's commit and in a catalog transaction of its own.

        Args:
            rows: deleted rows.
            next_row: the first row that the transaction has not allocated.

        Returns:
            the settings that the catalog's commit must store.
        """
        self._write_new()
        self._open_writer().remove(rows)
        settings = self._commit_folder(next_row)
        self._catalog.mark_purged(rows)
        return settings

    def close(self) -> None:
        """Close the folder and drop what was not committed."""
        if self._writer is not None:
            writer = self._writer
            self._writer = None
            writer.close()

    @property
    def _path(self) -> Path:
        return self._folder / str(self._meta["lexical"])

    @property
    def _first_buffered_row(self) -> int:
        return int(self._meta.get(FIRST_BUFFERED_ROW, self._next_row))

    def _open_writer(self) -> LexicalWriter:
        """Return the folder's writer; when it opens, the folder gets the rows that were buffered before."""
        if self._writer is None:
            self._writer = LexicalWriter(self._path, read_analysis(self._meta, self._folder))
            if not self._is_new_folder:
                first_row = self._first_buffered_row
                # A writer that died before its commit may have left rows from here on, which are allocated again.
                self._writer.remove_from(first_row)
                self._writer.remove(self._unpurged)
                self._writer.add_all(list(passages_between(self._catalog, first_row, self._next_row)))
        return self._writer

    def _write_new(self) -> None:
        writer = self._open_writer()
        writer.add_all(self._new)
        self._new.clear()

    def _commit_folder(self, next_row: int) -> dict[str, Any]:
        self._open_writer().commit()
        opstamp, checksum = commit_fingerprint(self._path, read_meta(self._path))
        return {FIRST_BUFFERED_ROW: next_row, OPSTAMP: opstamp, CHECKSUM: checksum}

    def _is_dirty(self) -> bool:
        """Tell whether a writer that died, or an older version, left rows that the catalog does not know."""
        return self._meta.get(OPSTAMP) != commit_fingerprint(self._path, read_meta(self._path))[0]

    def _fits_in_buffer(self) -> bool:
        n_buffered = len(self._catalog.passages_between(self._first_buffered_row, self._next_row))
        n_rows = sum(entry.n_rows for entry in self._catalog.segments())
        return self._policy.fits_in_buffer(n_buffered + len(self._new), n_rows - n_buffered)
