"""An index that need not exist yet, as the stores of frameworks expect it: the first documents create it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdsearch.catalog import holds_index
from hpdsearch.dense import IndexSpec
from hpdsearch.errors import FilterError
from hpdsearch.index import Index
from hpdsearch.records import Document, Hit

WAIT_SECONDS = 60.0  # for another writer


class ChangingIndex:
    """An index folder that is created by its first documents.

    Attributes:
        index: the open index; None: there is none yet.
    """

    def __init__(self, folder: Path, encoder: str | Path, spec: IndexSpec | None = None) -> None:
        """Open the index of a folder, if it holds one; encoder and spec are those of a new one."""
        self._folder = folder
        self._encoder = encoder
        self._spec = spec
        self.index = Index.open(folder, wait=WAIT_SECONDS) if holds_index(folder) else None

    def add(self, documents: Sequence[Document]) -> None:
        """Add documents; of several with one doc_id the last one counts."""
        wanted = list({document.doc_id: document for document in documents}.values())
        if not wanted:
            return
        if self.index is None:
            self.index = Index.build(self._folder, wanted, encoder=self._encoder, spec=self._spec, wait=WAIT_SECONDS)
        else:
            self.index.add(wanted)

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Delete the stored documents among these."""
        stored = [document.doc_id for document in self.get(doc_ids)]
        if self.index is not None and stored:
            self.index.delete(stored)

    def find(self, where: str) -> list[str]:
        """Return the doc_ids that match a filter; a field that no document has matches none."""
        if self.index is None:
            return []
        self.index.refresh()
        try:
            return self.index.doc_ids(where)
        except FilterError:
            if self.index.info().fields:
                raise
            return []

    def delete_where(self, where: str) -> None:
        """Delete the documents that match a filter."""
        self.delete(self.find(where))

    def get(self, doc_ids: Sequence[str]) -> list[Document]:
        """Return the stored documents among these doc_ids."""
        if self.index is None:
            return []
        found = [self.index.get(doc_id) for doc_id in dict.fromkeys(doc_ids)]
        return [document for document in found if document is not None]

    def search(self, query: str, k: int, **search: Any) -> list[Hit]:
        """Search with the last commit of the index."""
        if self.index is None:
            return []
        self.index.refresh()
        return self.index.search(query, k, **search)
