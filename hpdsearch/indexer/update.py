"""Update an index from its sources: only changed documents are written, and only new texts are encoded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import length_hint
from typing import NamedTuple, Protocol

from hpdsearch.catalog import content_fingerprint
from hpdsearch.corpus.locations import is_ending, split_line
from hpdsearch.corpus.scope import CorpusScope
from hpdsearch.corpus.skipping import OnError
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.file_states import FileStates
from hpdsearch.indexer.incoming import IncomingDocuments, has_generated_id, has_moved, is_same_file
from hpdsearch.indexer.ingest import IngestOptions, IngestReport, ingest_incoming
from hpdsearch.indexer.merging import apply_deletions
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.indexer.withdrawal import find_withdrawn
from hpdsearch.records import Document

RELOCATED_BLOCK = 1000  # documents


class _Held(NamedTuple):
    """A document whose doc_id is stored for another source: which of the two stays is known when all were read.

    Attributes:
        document: the document; without its contents if they are the stored ones.
        doc: number of the stored document.
        source: source of the stored document.
        is_unchanged: whether the stored document has the same contents.
    """

    document: Document
    doc: int
    source: str
    is_unchanged: bool


class Incoming(Protocol):
    """Documents that were checked and have their final doc_ids.

    Attributes:
        files: the states of their files.
        moved_from: files that are gone and whose doc_ids went to other files.
        skipped_files: files of which a document was skipped because it cannot be stored.
    """

    files: FileStates
    moved_from: set[str]
    skipped_files: set[str]

    def leave_out_unchanged(self) -> Sequence[int]:
        """Leave out the files that are as they were, before the iteration; return the numbers of their documents."""

    def __iter__(self) -> Iterator[Document]: ...
    def __length_hint__(self) -> int: ...


class _ReadDocuments(IncomingDocuments):
    """The documents of one reading of a corpus into one index."""

    def __init__(
        self, documents: Iterable[Document], txn: Transaction, report: IngestReport, on_error: OnError
    ) -> None:
        super().__init__(documents, txn, report.skipped, on_error=on_error, streams_are_new=False)
        self.files = FileStates(documents, txn.catalog)

    def leave_out_unchanged(self) -> Sequence[int]:
        """Let the corpus not read the files that are as they were."""
        return self.files.leave_out_unchanged()


class _ChangedDocuments:
    """Iterates over the documents that the index lacks or stores otherwise, and counts the others.

    Attributes:
        report: counts the documents that are not yielded; the caller counts the others in it.
    """

    def __init__(
        self, documents: "Incoming", txn: Transaction, scope: CorpusScope, report: IngestReport, on_error: OnError
    ) -> None:
        self.report = report
        self._documents = documents
        self._on_error = on_error
        self._scope = scope
        self._catalog = txn.catalog
        self._first_new_doc = txn.catalog.next_doc()
        self._emptied: list[int] = []
        self._held: list[_Held] = []
        self._relocated: dict[int, str] = {}
        self._catalog.start_seen()

    def __length_hint__(self) -> int:
        return length_hint(self._documents, 0)

    def __iter__(self) -> Iterator[Document]:
        left_out = self._documents.leave_out_unchanged()
        self._catalog.mark_all_seen(left_out)
        self.report.n_unchanged += len(left_out)
        for document in self._documents:
            stored = self._catalog.lookup(document)
            if stored is None:
                if self._is_withdrawn(document):
                    self.report.n_withdrawn += 1
                    continue
            elif stored[0] < self._first_new_doc and not self._compare(document, *stored):
                continue
            yield document
        yield from self._decide_held()
        self._store_relocated()

    def _is_withdrawn(self, document: Document) -> bool:
        """Return whether the user withdrew exactly this version of a document."""
        withdrawn = find_withdrawn(self._catalog, document)
        return withdrawn is not None and withdrawn.content == content_fingerprint(document)

    def _compare(self, document: Document, doc: int, source: str, is_unchanged: bool) -> bool:
        """Compare a document with the stored one of its doc_id; return whether to index it now."""
        if source != document.source and not self._may_replace(document, source):
            held = replace(document, text="", title="", metadata={}) if is_unchanged else document
            self._held.append(_Held(held, doc, source, is_unchanged))
            return False
        return self._accept(document, doc, source, is_unchanged)

    def _decide_held(self) -> Iterator[Document]:
        """Yield the changed ones of the held documents that take the place of a stored document.

        They do if the source of the stored document belongs to the corpus and has lost it: a record moved from one file
        of the corpus to another. Otherwise the stored document is a correction and stays.
        """
        moved: set[int] = set()
        for document, doc, source, is_unchanged in self._held:
            has_moved_here = source and self._covers(split_line(source)[0]) and not self._catalog.is_seen(doc)
            if has_moved_here or doc in moved:
                moved.add(doc)
                if self._accept(document, doc, source, is_unchanged):
                    yield document
            elif is_unchanged:
                self.report.n_unchanged += 1
            else:
                self.report.n_kept += 1
        self._held = []

    def _accept(self, document: Document, doc: int, source: str, is_unchanged: bool) -> bool:
        """Take a document as the new state of a stored one; return whether to index it.

        Raises:
            CorpusError: the doc_id came before, and errors stop.
        """
        if not self._catalog.mark_seen(doc):
            error = CorpusError(
                f"{document.source or 'documents'}: doc_id {document.doc_id!r} came before; give every document its own"
            )
            self.report.skipped.add_or_raise(error, self._on_error)
            return False
        if is_unchanged:
            self.report.n_unchanged += 1
            self._documents.files.record([(doc, document)])
            if source != document.source:
                self._relocate(doc, source, document.source)
            return False
        if not document.text.strip():
            self._emptied.append(doc)
        return True

    def _may_replace(self, document: Document, source: str) -> bool:
        """Return whether a stored source is the same file, or a file that this one replaces because it is gone."""
        stored, location = split_line(source)[0], split_line(document.source)[0]
        if is_same_file(stored, location):
            return True
        if has_generated_id(document) is not is_ending(document.doc_id, source) or not has_moved(stored):
            return False
        return find_withdrawn(self._catalog, document) is None

    def _relocate(self, doc: int, old: str, new: str) -> None:
        self._relocated[doc] = new
        self.report.n_relocated += 1
        location = split_line(old)[0]
        self.report.n_moved += has_moved(location) and not is_same_file(location, split_line(new)[0])
        if len(self._relocated) >= RELOCATED_BLOCK:
            self._store_relocated()

    def _store_relocated(self) -> None:
        self._catalog.relocate(self._relocated)
        self._relocated = {}

    def find_deleted(self) -> list[int]:
        """Return the older documents of the corpus that were not read again, and those that have no text now."""
        covers = lru_cache(maxsize=1)(self._covers)  # the lines of a file follow one another
        unseen = self._catalog.unseen_sources(self._first_new_doc)
        gone = [doc for doc, source in unseen if source and covers(split_line(source)[0])]
        return sorted({*gone, *self._emptied})

    def _covers(self, location: str) -> bool:
        if location in self._documents.skipped_files:
            return False
        return location in self._documents.moved_from or self._scope.covers(location)


def update(
    documents: Iterable[Document],
    scope: CorpusScope,
    txn: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    options: IngestOptions,
) -> IngestReport:
    """Make the index hold exactly `documents` among those of the files of `scope`; the caller commits.

    A document that `add` replaced from another source, or that `delete` removed and that is unchanged, is left out.

    Args:
        documents: consumed once, a block in memory at a time.
        scope: the files whose other documents are deleted.
        txn: the transaction.
        encoder: the encoder of the documents, of the index's space.
        spec: index of each segment that is written.
        options: as in `ingest`, for the documents that changed. The stored documents of a file of which one is skipped
            are not deleted.

    Raises:
        CorpusError: a doc_id comes twice or a document has a field of a wrong type, and errors stop; or a document
            breaks a rule of `strict`.
        CorruptIndexError: a file of the index is missing or altered.
    """
    report = IngestReport()
    incoming = _ReadDocuments(documents, txn, report, options.on_error)
    return update_incoming(incoming, report, scope, txn, encoder, spec, options)


def update_incoming(
    documents: Incoming,
    report: IngestReport,
    scope: CorpusScope,
    txn: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    options: IngestOptions,
) -> IngestReport:
    """Update an index from documents that have their final doc_ids, and count them in `report`; see `update`."""
    changed = _ChangedDocuments(documents, txn, scope, report, options.on_error)
    ingest_incoming(changed, report, txn, encoder, spec, options, documents.files)
    report.n_files = documents.files.n_recorded
    deleted = changed.find_deleted()
    if deleted:
        stored = txn.catalog.doc_ids(deleted)
        txn.catalog.forget_withdrawn(doc_ids=list(stored.values()))
        txn.catalog.remove(deleted)
        report.n_deleted = len(deleted)
        apply_deletions(txn, spec, options.progress)
    return report
