"""Bring an index up to what its files hold now: only what changed is written, only new texts are encoded."""

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from pathlib import Path

from hpdsearch.common.progress import Progress
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.ingest import IngestReport, ingest, require_document
from hpdsearch.indexer.merging import settle
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.records import Document


class _Changed:
    """The documents that the index does not hold as they are; notes which ones it does."""

    def __init__(self, documents: Iterable[Document], change: Transaction) -> None:
        self._documents, self._catalog = documents, change.catalog
        self._first_new = change.catalog.next_doc()
        self.n_unchanged = 0
        self._emptied: list[int] = []
        self._catalog.start_seen()

    def __length_hint__(self) -> int:
        return length_hint(self._documents, 0)

    def __iter__(self) -> Iterator[Document]:
        for position, document in enumerate(self._documents):
            require_document(document, position)
            held = self._catalog.lookup(document)
            if held is not None and held[0] < self._first_new:
                if not self._catalog.mark_seen(held[0]):
                    where = document.source or f"documents[{position}]"
                    raise CorpusError(f"{where}: doc_id {document.doc_id!r} came before; give every document its own")
                if held[1]:
                    self.n_unchanged += 1
                    continue
                if not document.text.strip():
                    self._emptied.append(held[0])
            yield document

    def gone(self, under: Sequence[str]) -> list[int]:
        """Return the older documents that were read under these paths and did not come, or hold no text now."""
        return sorted({*self._catalog.not_seen(under, self._first_new), *self._emptied})


def update(
    documents: Iterable[Document],
    under: Sequence[str],
    change: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    *,
    strict: bool,
    progress: Progress,
) -> IngestReport:
    """Make the index hold `documents` as they are, and of those read `under` these paths no others; the caller commits.

    Args:
        documents: consumed once, a block in memory at a time.
        under: files and folders, relative or absolute; documents of other sources stay.
        change: the transaction.
        encoder: of the index's space.
        spec: the index to make of each segment that is written.
        strict: as in `ingest`, of the documents that changed.
        progress: a bar a phase.
    """
    changed = _Changed(documents, change)
    summary = ingest(changed, change, encoder, spec, strict=strict, progress=progress)
    summary.n_unchanged = changed.n_unchanged
    spelled: set[str] = set()
    for path in filter(None, under):
        # Links are not followed: sources are named by what was read, not by what it points to.
        spelled |= {path, str(Path(path)), os.path.abspath(path), os.path.relpath(path)}  # noqa: PTH100
    gone = changed.gone(sorted(spelled))
    if gone:
        change.catalog.remove(gone)
        summary.n_deleted = len(gone)
        settle(change, spec, None, [], progress)
    return summary
