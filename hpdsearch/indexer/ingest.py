"""Documents -> catalog, lexical index and vectors file, block by block, inside one transaction."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import length_hint

from hpdsearch.common.progress import Bar, Progress
from hpdsearch.common.vectors import Matrix, Stored
from hpdsearch.corpus.passages import split_documents, title_before_text
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.indexer.vector_buffer import NewVectors
from hpdsearch.indexer.vector_reuse import VectorReuse
from hpdsearch.records import Document

BLOCK_DOCUMENTS = 4096
BLOCK_CHARACTERS = 4_000_000


@dataclass
class IngestReport:
    """What became of the documents that were handed in.

    Attributes:
        n_documents: documents indexed, n_replaced of them in place of an older one with the same doc_id.
        n_passages: passages made of them.
        n_empty: documents skipped because they hold no text.
        n_split: documents cut into several passages, because the encoder cannot read them at once.
        n_truncated_titles: titles that the encoder did not read whole; words in them are found all the same.
        n_duplicates: documents with the same title and text as another one; they are indexed like all others.
        n_reused: documents that were not encoded, since the index held vectors of the same title and text.
        n_unchanged: documents that were in the index as they are (update).
        n_deleted: documents that were deleted because their source holds them no more (update).
        seconds: from the first document to the commit; encode_seconds of them in the encoder.
    """

    n_documents: int = 0
    n_replaced: int = 0
    n_passages: int = 0
    n_empty: int = 0
    n_split: int = 0
    n_truncated_titles: int = 0
    n_duplicates: int = 0
    n_reused: int = 0
    n_unchanged: int = 0
    n_deleted: int = 0
    seconds: float = 0.0
    encode_seconds: float = 0.0


def ingest(
    documents: Iterable[Document],
    change: Transaction,
    encoder: Encoder,
    spec: IndexSpec,
    *,
    strict: bool,
    progress: Progress,
) -> IngestReport:
    """Add documents to the index; the caller commits.

    A document whose doc_id is in the index already replaces it.

    Args:
        documents: consumed once, held a block at a time; if it has a length or a length hint, the bar tells the
            time left.
        change: the transaction.
        encoder: of the index's space.
        spec: the index to make of the new vectors.
        strict: treat empty, cut and duplicate documents and shortened titles as errors.
        progress: a bar a phase.

    Raises:
        CorpusError: a doc_id came twice in `documents`, a document is no proper one, or strictness demands it.
    """
    blocks = _blocks(documents)
    first = next(blocks, None)
    if first is None:
        return IngestReport()
    run = _Run(change, encoder, strict)
    bar = progress.phase("encoding", total=None, unit="doc")
    with NewVectors(change, encoder.dim) as vectors:
        for block in chain([first], blocks):
            bar.total = length_hint(documents, 0) or None
            run.add(block, vectors, bar)
        bar.close()
    vectors.settle(spec, progress)
    return run.summary


def _blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    block: list[Document] = []
    characters = 0
    for position, document in enumerate(documents):
        require_document(document, position)
        block.append(document)
        characters += len(document.text)
        if len(block) >= BLOCK_DOCUMENTS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _append(vectors: NewVectors, encoded: Matrix, stored: Sequence[Stored | None], n_passages: Sequence[int]) -> None:
    """Write the vectors of documents in order: those that were stored as they are, between the encoded ones."""
    at = pending = 0
    for old, n in zip(stored, n_passages, strict=True):
        if old is None:
            pending += n
            continue
        vectors.append(encoded[at : at + pending])
        at, pending = at + pending, 0
        vectors.append_stored(old)
    vectors.append(encoded[at:])


class _PartOf(Progress):
    """Shows a phase inside another one's bar: `factor` of its units for each of its own."""

    def __init__(self, bar: Bar, factor: float) -> None:
        super().__init__()
        self.bar, self.factor = bar, factor
        self.total: float | None = None

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Begin a phase without a bar of its own."""
        return self

    def update(self, n: float, /) -> None:
        """Count n units of the inner phase."""
        self.bar.update(n * self.factor)

    def close(self) -> None:
        """The outer bar goes on."""


def require_document(document: Document, position: int) -> None:
    """Refuse what the catalog could not give back as it came; readers of files cannot produce it, callers can."""
    if not isinstance(document, Document):
        raise CorpusError(f"documents[{position}]: expected a Document, got {type(document).__name__}")
    where = document.source or f"documents[{position}]"
    if not isinstance(document.doc_id, str) or not document.doc_id:
        raise CorpusError(f"{where}: expected a doc_id string of one character or more, got {document.doc_id!r}")
    for name in ("text", "title"):
        if not isinstance(getattr(document, name), str):
            raise CorpusError(f"{where}: expected a {name} string, got {type(getattr(document, name)).__name__}")
    try:
        "".join((document.doc_id, document.title, document.text, document.source)).encode()
        json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: expected Unicode text, got half of a surrogate pair ({error.reason})") from error
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: expected metadata of JSON values, got: {error}") from error


class _Run:
    """One run of documents through the stages; counts what becomes of them."""

    def __init__(self, change: Transaction, encoder: Encoder, strict: bool) -> None:
        self.change, self.encoder, self.strict = change, encoder, strict
        self.summary = IngestReport()
        self.first_doc = change.catalog.next_doc()
        self.known = VectorReuse(change, encoder)

    def add(self, documents: Sequence[Document], vectors: NewVectors, bar: Bar) -> None:
        """Take a block through all stages; the bar counts its documents while they are encoded."""
        n_documents = len(documents)
        documents = [document for document in documents if self._holds_text(document)]
        known = [self.known.find(document) for document in documents]  # before their older versions go
        self._make_way(documents)
        self._count_duplicates(documents)
        cuts = split_documents(documents, self.encoder.token_spans, max_tokens=self.encoder.max_tokens)
        for document, cut in zip(documents, cuts, strict=True):
            if len(cut.passages) > 1:
                self._note("n_split", document, f"is cut into {len(cut.passages)} passages")
            if cut.title_is_truncated:
                self._note("n_truncated_titles", document, "has a title that is too long for the encoder")
        stored = [
            old[1] if old and old[0] == list(cut.passages) else None for old, cut in zip(known, cuts, strict=True)
        ]
        self.summary.n_reused += sum(old is not None for old in stored)
        texts = [text for old, cut in zip(stored, cuts, strict=True) if old is None for text in cut.texts]
        start = time.perf_counter()
        encoded = self.encoder.encode(texts, progress=_PartOf(bar, n_documents / max(len(texts), 1)))
        self.summary.encode_seconds += time.perf_counter() - start
        _append(vectors, encoded, stored, [len(cut.passages) for cut in cuts])
        self.change.catalog.insert(
            [(d, c.passages) for d, c in zip(documents, cuts, strict=True)], self.change.next_row
        )
        for document, cut in zip(documents, cuts, strict=True):
            for passage in cut.passages:
                text = document.text[passage.start : passage.end]
                self.change.words.add(self.change.next_row, title_before_text(document), text)
                self.change.next_row += 1
        self.summary.n_documents += len(documents)
        self.summary.n_passages += sum(len(cut.passages) for cut in cuts)

    def _holds_text(self, document: Document) -> bool:
        if document.text and not document.text.isspace():
            return True
        self._note("n_empty", document, "holds no text")
        return False

    def _make_way(self, documents: Sequence[Document]) -> None:
        """Remove the documents that these replace; a doc_id that came twice in this run is an error."""
        catalog, sources = self.change.catalog, dict[str, str]()
        there = catalog.doc_numbers([document.doc_id for document in documents])
        for document in documents:
            doc_id, old = document.doc_id, there.get(document.doc_id)
            first = sources.get(doc_id)
            if old is not None and old >= self.first_doc:
                first = catalog.document_source(old)
            if first is not None:
                raise CorpusError(
                    f"{document.source or 'documents'}: doc_id {doc_id!r} came before, at "
                    f"{first or 'an earlier document'}; give every document its own"
                )
            sources[doc_id] = document.source
        if there:
            catalog.remove(list(there.values()))
            self.summary.n_replaced += len(there)

    def _count_duplicates(self, documents: Sequence[Document]) -> None:
        in_block: dict[tuple[str, str], str] = {}
        for document in documents:
            key = (document.title, document.text)
            same = in_block.get(key) or self.change.catalog.find_same_text(document)
            if same is not None:
                self._note("n_duplicates", document, f"has the title and text of {same!r}")
            in_block.setdefault(key, document.doc_id)

    def _note(self, count: str, document: Document, what: str) -> None:
        if self.strict:
            place = document.source or f"document {document.doc_id!r}"
            raise CorpusError(f"{place}: {what}; mend it, or leave out --strict (strict=False)")
        setattr(self.summary, count, getattr(self.summary, count) + 1)
