"""Update an index from its sources: only changed documents are written, and only new texts are encoded."""

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from pathlib import Path

from hpdsearch.common.progress import Progress
from hpdsearch.corpus.locations import find_location
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.ingest import IngestReport, ingest, require_document
from hpdsearch.indexer.merging import apply_deletions
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.records import Document


class _ChangedDocuments:
    """Iterates over the documents that the index lacks or stores otherwise, and counts the unchanged ones."""

    def __init__(self, documents: Iterable[Document], txn: Transaction) -> None:
        self._documents = documents
        self._catalog = txn.catalog
        self._first_new_doc = txn.catalog.next_doc()
        self._emptied: list[int] = []
        self.n_unchanged = 0
        self._catalog.start_seen()

    def __length_hint__(self) -> int:
        return length_hint(self._documents, 0)

    def __iter__(self) -> Iterator[Document]:
        for position, document in enumerate(self._documents):
            require_document(document, position)
            stored = self._catalog.lookup(document)
            if stored is not None and stored[0] < self._first_new_doc:
                doc, is_unchanged = stored
                if not self._catalog.mark_seen(doc):
                    where = document.source or f"documents[{position}]"
                    raise CorpusError(f"{where}: doc_id {document.doc_id!r} came before; give every document its own")
                if is_unchanged:
                    self.n_unchanged += 1
                    continue
                if not document.text.strip():
                    self._emptied.append(doc)
            yield document

    def find_deleted(self, under: Sequence[str]) -> list[int]:
        """Return the older documents under these paths that were not read again, and those that have no text now."""
        return sorted({*self._catalog.not_seen(under, self._first_new_doc), *self._emptied})


def update(
    documents: Iterable[Document],
    under: Sequence[str],
    txn: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    *,
    strict: bool,
    progress: Progress,
) -> IngestReport:
    """Make the index hold exactly `documents` among those read `under` these paths; the caller commits.

    Args:
        documents: consumed once, a block in memory at a time.
        under: files and folders, relative or absolute; documents of other sources stay.
        txn: the transaction.
        encoder: the encoder of the documents, of the index's space.
        spec: index of each segment that is written.
        strict: as in `ingest`, for the documents that changed.
        progress: shows a bar for each phase.

    Raises:
        CorpusError: a doc_id comes twice, a document has a field of a wrong type, or a document breaks a rule of
            `strict`.
        CorruptIndexError: a file of the index is missing or altered.
    """
    changed = _ChangedDocuments(documents, txn)
    report = ingest(changed, txn, encoder, spec, strict=strict, progress=progress)
    report.n_unchanged = changed.n_unchanged
    spellings: set[str] = set()
    for path in filter(None, under):
        spellings |= {path, str(Path(path)), os.path.abspath(path), os.path.relpath(path)}  # noqa: PTH100
        spellings.add(find_location(path))
    deleted = changed.find_deleted(sorted(spellings))
    if deleted:
        txn.catalog.remove(deleted)
        report.n_deleted = len(deleted)
        apply_deletions(txn, spec, progress)
    return report
