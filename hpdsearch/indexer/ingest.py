"""Index documents block by block in one transaction: documents -> passages -> vectors, catalog rows, lexical rows."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import length_hint

from hpdsearch.common.progress import SILENT, Bar, Progress
from hpdsearch.common.vectors import Stored
from hpdsearch.corpus.headings import PassageTitles
from hpdsearch.corpus.locations import is_ending, split_line
from hpdsearch.corpus.passages import SplitDocument, split_documents
from hpdsearch.corpus.skipping import OnError, Skipped
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder, EncoderType
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.draft import DRAFT, Block, Draft
from hpdsearch.indexer.encoded_blocks import EncodedBlocks
from hpdsearch.indexer.file_states import FileStates
from hpdsearch.indexer.given_vectors import require_vectors, to_stored
from hpdsearch.indexer.incoming import IncomingDocuments, has_generated_id, is_same_file
from hpdsearch.indexer.prepared import PreparedDocument
from hpdsearch.indexer.transaction import ENCODED, Transaction
from hpdsearch.indexer.vector_buffer import NewVectors
from hpdsearch.indexer.vector_reuse import VectorReuse
from hpdsearch.indexer.withdrawal import forget_withdrawn, withdraw
from hpdsearch.lexical import detect_languages
from hpdsearch.records import Document, EncodedDocument, Passage

StoredSources = Mapping[str, tuple[int, str]]  # number and source of stored documents by doc_id
BLOCK_DOCUMENTS = 4096
BLOCK_CHARACTERS = 4_000_000


@dataclass
class IngestReport:
    """Counts of the documents that were passed in.

    Attributes:
        n_documents: documents indexed.
        n_replaced: indexed documents that replaced an older one with the same doc_id.
        n_replaced_others: the part of n_replaced whose older one came from another source.
        n_moved: documents whose doc_id belonged to a file that is gone: the file was moved or renamed.
        n_passages: passages of the indexed documents.
        n_empty: documents skipped because they have no text.
        n_split: documents split into several passages because they exceed the encoder's token limit.
        n_truncated_titles: titles cut to fit beside a passage; lexical search still matches all of their words.
        n_duplicates: documents with the title and text of another one; they are indexed too.
        n_reused: documents that were not encoded, because the index had the same title and text or they came with
            their vectors (EncodedDocument).
        n_resumed: passages that were not encoded again because an interrupted run had encoded them.
        n_unchanged: documents that the index stored already (update only).
        n_deleted: documents deleted because their source lacks them now (update only).
        n_relocated: unchanged documents whose stored source was corrected: moved files, shifted lines (update only).
        n_kept: documents left out because `add` replaced them from another source (update only).
        n_withdrawn: documents left out because `delete` removed them and they are unchanged (update only).
        n_files: files that the next update need not read, because their states were stored (update only).
        skipped: documents that were left out because of an error, with `on_error="skip"`.
        seconds: from the first document to the commit.
        encode_seconds: the part of `seconds` spent in the encoder.
    """

    n_documents: int = 0
    n_replaced: int = 0
    n_replaced_others: int = 0
    n_moved: int = 0
    n_passages: int = 0
    n_empty: int = 0
    n_split: int = 0
    n_truncated_titles: int = 0
    n_duplicates: int = 0
    n_reused: int = 0
    n_resumed: int = 0
    n_unchanged: int = 0
    n_deleted: int = 0
    n_relocated: int = 0
    n_kept: int = 0
    n_withdrawn: int = 0
    n_files: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    seconds: float = 0.0
    encode_seconds: float = 0.0


@dataclass(frozen=True)
class IngestOptions:
    """How documents are added.

    Attributes:
        strict: treat empty, split and duplicate documents and truncated titles as errors.
        on_error: what a document that cannot be stored, or whose doc_id comes twice, does.
        progress: shows a bar for each phase.
        draft_encoder: a faster encoder of the same space and width, which encodes many documents instead; the index is
            a draft then (hpdsearch.indexer.draft). None: the index's encoder encodes all.
        languages: codes of the languages of a new index; none: those of the first block of documents are detected.
            None: the index keeps its languages.
    """

    strict: bool = False
    on_error: OnError = OnError.STOP
    progress: Progress = SILENT
    draft_encoder: Encoder | None = None
    languages: Sequence[str] | None = None


def ingest(
    documents: Iterable[Document], txn: Transaction, encoder: Encoder, spec: IndexSpec, options: IngestOptions
) -> IngestReport:
    """Add documents to the index; the caller commits. A document replaces the stored one of its source or doc_id.

    Args:
        documents: consumed once, a block in memory at a time. With a length or a length hint, the bar shows the time
            left.
        txn: the transaction.
        encoder: the encoder of the documents, of the index's space.
        spec: index of each segment that is written.
        options: how they are added.

    Raises:
        CorpusError: a doc_id comes twice or a document has a field of a wrong type, and errors stop; or a document
            breaks a rule of `strict`.
        CorruptIndexError: a file of the index is missing or altered.
    """
    report = IngestReport()
    incoming = IncomingDocuments(documents, txn, report.skipped, on_error=options.on_error, streams_are_new=True)
    ingest_incoming(incoming, report, txn, encoder, spec, options, FileStates(documents, txn.catalog))
    return report


def ingest_incoming(
    documents: Iterable[Document],
    report: IngestReport,
    txn: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    options: IngestOptions,
    files: FileStates,
) -> None:
    """Add documents that went through `IncomingDocuments` and count them in `report`; the rest is as in `ingest`."""
    blocks = split_in_blocks(documents)
    first = next(blocks, None)
    if first is None:
        return
    if options.languages is not None:
        txn.set_languages(options.languages or detect_languages([document.text for document in first]))
    second = next(blocks, None)
    if second is None and len(first) < txn.policy.min_draft_documents:
        options = replace(options, draft_encoder=None)
    run = _IngestRun(txn, encoder, options, report, files)
    with ExitStack() as stack:
        if second is not None and options.draft_encoder is None and encoder.kind is not EncoderType.STATIC:
            run.encoded = stack.enter_context(EncodedBlocks(txn.folder / ENCODED, encoder))
        vectors = stack.enter_context(NewVectors(txn, encoder.dim, spec, options.progress))
        bar = options.progress.phase("encoding", total=None, unit="doc")
        for block in chain([first], [] if second is None else [second], blocks):
            bar.total = length_hint(documents, 0) or None
            run.add(block, vectors, bar)
        bar.close()
    run.set_draft()


@dataclass
class BlockSizes:
    """The sizes of a block that is being filled.

    Attributes:
        max_documents: a block has no more documents.
        n_documents: documents.
        n_characters: characters of their texts.
    """

    max_documents: int = BLOCK_DOCUMENTS
    n_documents: int = 0
    n_characters: int = 0

    def add(self, document: Document) -> bool:
        """Count a document; return whether the block is full with it."""
        self.n_documents += 1
        self.n_characters += len(document.text)
        return self.n_documents >= self.max_documents or self.n_characters >= BLOCK_CHARACTERS


def split_in_blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield the documents in blocks of at most BLOCK_DOCUMENTS documents and about BLOCK_CHARACTERS characters."""
    block: list[Document] = []
    sizes = BlockSizes(BLOCK_DOCUMENTS)
    for document in documents:
        block.append(document)
        if sizes.add(document):
            yield block
            block = []
            sizes = BlockSizes(BLOCK_DOCUMENTS)
    if block:
        yield block


def _given_split(document: EncodedDocument) -> SplitDocument:
    is_truncated = isinstance(document, PreparedDocument) and document.title_is_truncated
    return SplitDocument(document.passages, (), is_truncated)


def _append_in_order(
    vectors: NewVectors, encoded: Stored, reused: Sequence[Stored | None], n_passages: Sequence[int]
) -> None:
    """Append the vectors of documents in their order: the reused ones of a document, or the next encoded ones."""
    start = 0
    end = 0
    for stored, n in zip(reused, n_passages, strict=True):
        if stored is None:
            end += n
            continue
        vectors.append(encoded[start:end])
        vectors.append(stored)
        start = end
    vectors.append(encoded[start:])


class _PartOfBar(Progress):
    """Shows a phase inside the bar of another one, which advances `factor` units for each unit of the phase."""

    def __init__(self, bar: Bar, factor: float) -> None:
        super().__init__()
        self.bar = bar
        self.factor = factor
        self.total: float | None = None

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Begin a phase without a bar of its own."""
        return self

    def update(self, n: float, /) -> None:
        """Count n units of the inner phase."""
        self.bar.update(n * self.factor)

    def close(self) -> None:
        """Leave the outer bar open."""


class _IngestRun:
    """One pass of documents through the stages, with the counts of its report.

    Attributes:
        encoded: encodes the blocks and keeps them for the next run; None: they are not kept.
    """

    def __init__(
        self, txn: Transaction, encoder: Encoder, options: IngestOptions, report: IngestReport, files: FileStates
    ) -> None:
        self.options = options
        self.files = files
        self.blocks: list[Block] = []
        self.txn = txn
        self.encoder = encoder
        self.report = report
        self.first_doc = txn.catalog.next_doc()
        self.reuse = VectorReuse(txn, encoder)
        self.encoded: EncodedBlocks | None = None

    def add(self, documents: Sequence[Document], vectors: NewVectors, bar: Bar) -> None:
        """Take a block through all stages; the bar counts its documents while they are encoded."""
        n_documents = len(documents)
        documents = [each for each in documents if self._has_text(each) and self._fits_the_index(each)]
        stored = self.txn.catalog.stored_sources([document.doc_id for document in documents])
        documents = self._leave_out_repeated(documents, stored)
        # Look them up before _remove_replaced deletes their older versions.
        reusable = [self._find_vectors(document) for document in documents]
        self._remove_replaced(documents, stored)
        self._count_duplicates(documents)
        splits = self._split(documents)
        self._count_splits(documents, splits)
        reused = [
            found[1] if found and found[0] == list(split.passages) else None
            for found, split in zip(reusable, splits, strict=True)
        ]
        self.report.n_reused += sum(
            stored is not None and not isinstance(document, PreparedDocument)
            for document, stored in zip(documents, reused, strict=True)
        )
        encoded = self._encode(reused, splits, bar, n_documents)
        _append_in_order(vectors, encoded, reused, [len(split.passages) for split in splits])
        self._insert(documents, splits)

    def _fits_the_index(self, document: Document) -> bool:
        """Return whether vectors that a document brings are of the index's space; an error of theirs may stop.

        Raises:
            CorpusError: they are not, and errors stop.
        """
        if not isinstance(document, EncodedDocument) or isinstance(document, PreparedDocument):
            return True
        try:
            require_vectors(document, self.encoder.dim, self.encoder.space)
        except CorpusError as error:
            self.report.skipped.add_or_raise(error, self.options.on_error)
            return False
        return True

    def _find_vectors(self, document: Document) -> tuple[list[Passage], Stored] | None:
        """Return the passages and vectors of a document that need not be encoded; None: it must be."""
        if isinstance(document, EncodedDocument):
            return list(document.passages), to_stored(document)
        return self.reuse.find_reusable(document)

    def _split(self, documents: Sequence[Document]) -> list[SplitDocument]:
        """Return the passages of all documents; those of an EncodedDocument are given."""
        without = [document for document in documents if not isinstance(document, EncodedDocument)]
        split = iter(split_documents(without, self.encoder.token_spans, max_tokens=self.encoder.max_tokens))
        return [
            _given_split(document) if isinstance(document, EncodedDocument) else next(split) for document in documents
        ]

    def _encode(
        self, reused: Sequence[Stored | None], splits: Sequence[SplitDocument], bar: Bar, n_documents: int
    ) -> Stored:
        """Return the vectors (n, dim), float16, of all passages of the documents whose vectors are not reused."""
        texts = [text for stored, split in zip(reused, splits, strict=True) if stored is None for text in split.texts]
        progress = _PartOfBar(bar, n_documents / max(len(texts), 1))
        start = time.perf_counter()
        if self.encoded is not None:
            encoded = self.encoded.encode(texts, progress)
            self.report.n_resumed = self.encoded.n_resumed
        else:
            encoder = self.options.draft_encoder or self.encoder
            encoded = encoder.encode(texts, progress=progress).astype("<f2")
        self.report.encode_seconds += time.perf_counter() - start
        return encoded

    def set_draft(self) -> None:
        """Store which blocks the draft encoder has encoded."""
        fast = self.options.draft_encoder
        if fast is not None and self.blocks:
            draft = Draft.read(self.txn.meta) or Draft(self.txn.new_number(), fast.name, ())
            self.txn.set_meta(**{DRAFT: replace(draft, blocks=(*draft.blocks, *self.blocks)).as_dict()})

    def _insert(self, documents: Sequence[Document], splits: Sequence[SplitDocument]) -> None:
        """Insert the documents into the catalog and their passages into the lexical index, under new rows."""
        rows = self.txn.allocate_rows(sum(len(split.passages) for split in splits))
        self.blocks += [(rows.start, rows.stop)] if len(rows) else []
        pairs = list(zip(documents, splits, strict=True))
        first_doc = self.txn.catalog.next_doc()
        self.txn.catalog.insert([(document, split.passages) for document, split in pairs], rows.start)
        self.files.record(enumerate(documents, start=first_doc))
        passages = [each for document, split in pairs for each in PassageTitles(document).passages(split.passages)]
        self.txn.lexical.add((row, title, text) for row, (title, text) in zip(rows, passages, strict=True))
        self.report.n_documents += len(documents)
        self.report.n_passages += len(rows)

    def _count_splits(self, documents: Sequence[Document], splits: Sequence[SplitDocument]) -> None:
        for document, split in zip(documents, splits, strict=True):
            if len(split.passages) > 1:
                self._count("n_split", document, f"is split into {len(split.passages)} passages")
            if split.title_is_truncated:
                self._count("n_truncated_titles", document, "has a title that is too long for the encoder")

    def _has_text(self, document: Document) -> bool:
        if document.text and not document.text.isspace():
            return True
        self._count("n_empty", document, "has no text")
        return False

    def _leave_out_repeated(self, documents: Sequence[Document], stored: StoredSources) -> list[Document]:
        """Return the documents without those whose doc_id came before in this run.

        Raises:
            CorpusError: there is one, and errors stop.
        """
        sources = {doc_id: source for doc_id, (doc, source) in stored.items() if doc >= self.first_doc}
        kept = []
        for document in documents:
            first = sources.get(document.doc_id)
            if first is None:
                sources[document.doc_id] = document.source
                kept.append(document)
                continue
            error = CorpusError(
                f"{document.source or 'documents'}: doc_id {document.doc_id!r} came before, at "
                f"{first or 'an earlier document'}; give every document its own"
            )
            self.report.skipped.add_or_raise(error, self.options.on_error)
        return kept

    def _remove_replaced(self, documents: Sequence[Document], stored: StoredSources) -> None:
        """Remove the documents of earlier runs that these replace."""
        catalog = self.txn.catalog
        replaced = {doc_id: pair for doc_id, pair in stored.items() if pair[0] < self.first_doc}
        of_others = [
            replaced[document.doc_id][0]
            for document in documents
            if document.doc_id in replaced and self._replaces_other(document, replaced[document.doc_id][1])
        ]
        withdraw(catalog, of_others)
        forget_withdrawn(catalog, documents)
        catalog.remove([doc for doc, _ in replaced.values()])
        self.report.n_replaced += len(replaced)
        self.report.n_replaced_others += len(of_others)

    def _replaces_other(self, document: Document, source: str) -> bool:
        """Return whether the stored source is another one; count a file that moved instead."""
        if is_same_file(split_line(source)[0], split_line(document.source)[0]):
            return False
        if is_ending(document.doc_id, source) and has_generated_id(document):
            self.report.n_moved += 1
            return False
        return True

    def _count_duplicates(self, documents: Sequence[Document]) -> None:
        doc_ids = self.txn.catalog.find_same_texts(documents)
        for document in documents:
            same = doc_ids.setdefault((document.title, document.text), document.doc_id)
            if same != document.doc_id:
                self._count("n_duplicates", document, f"has the title and text of {same!r}")

    def _count(self, count: str, document: Document, problem: str) -> None:
        """Count a problem of a document in the report; with `strict`, raise CorpusError instead."""
        if self.options.strict:
            where = document.source or f"document {document.doc_id!r}"
            raise CorpusError(f"{where}: {problem}; fix it, or leave out --strict (strict=False)")
        setattr(self.report, count, getattr(self.report, count) + 1)
