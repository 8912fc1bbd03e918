"""Index: one folder of documents that users search and change."""

import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, overload

from hpdsearch.catalog import Catalog
from hpdsearch.common.forks import PerProcess
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.corpus import CorpusReader, OnError
from hpdsearch.corpus.scope import CorpusScope
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import DEFAULT_ENCODER, Device, Encoder
from hpdsearch.encoder.device import find_device
from hpdsearch.errors import CorpusError, HpdsearchError, IndexFolderError, NothingCommittedError, QueryError
from hpdsearch.index.encoders import (
    BACKEND,
    EncoderLike,
    IndexEncoders,
    find_draft_encoder,
    fit_encoder,
    load_encoder,
    require_same_encoder,
)
from hpdsearch.index.export import ExportFormat, encoded_documents, export_snapshot
from hpdsearch.index.info import IndexInfo, describe
from hpdsearch.index.shards.cluster_file import is_sharded
from hpdsearch.index.verify import find_problems
from hpdsearch.indexer.compaction import compact
from hpdsearch.indexer.draft import Draft
from hpdsearch.indexer.ingest import IngestOptions, IngestReport, ingest
from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY, MergePolicy
from hpdsearch.indexer.merging import apply_deletions, rebuild_index
from hpdsearch.indexer.refine import refine
from hpdsearch.indexer.transaction import REFINE_LOCK, Transaction, lock_folder
from hpdsearch.indexer.update import update
from hpdsearch.indexer.withdrawal import withdraw
from hpdsearch.lexical import AUTO, parse_languages
from hpdsearch.records import Document, EncodedDocument, Hit, integer_to_id
from hpdsearch.search import Mode, search, search_like
from hpdsearch.search.commits import CommitState, CommitWatch, inode
from hpdsearch.search.exact_scores import read_document_vectors
from hpdsearch.search.opening import open_snapshot
from hpdsearch.search.snapshot import Snapshot

StrPath = str | Path
PUBLISH_WAIT = 600  # seconds that a refinement waits for another writer before it publishes a step


class Index:
    """A searchable index folder: make one with `build`, open one with `open`. Several threads may search it at once.

    An index answers from the snapshot that it opened. It sees the changes made through this object; to see the changes
    of others, call `refresh`.

    Attributes:
        folder: path of the index folder.
        report: counts of the documents of `build`, or of the last `add` or `update` through this object.
        merge_policy: says which rows the next changes buffer and which segments they merge.
        wait: seconds for which the next changes wait for another writer.
    """

    def __init__(
        self,
        folder: Path,
        snapshot: Snapshot,
        encoder: EncoderLike | None = None,
        merge_policy: MergePolicy = DEFAULT_MERGE_POLICY,
        document_encoder: EncoderLike | None = None,
        device: Device = Device.AUTO,
    ) -> None:
        """Use `build` or `open`."""
        self.folder = folder
        self.report: IngestReport | None = None
        self.merge_policy = merge_policy
        self.wait: float = 0
        self._opened = snapshot
        self._opened_state: CommitState = (inode(snapshot.catalog.path), snapshot.catalog.generation())
        self._watch = CommitWatch()
        self._opening = PerProcess(threading.Lock)
        self._encoders = IndexEncoders(folder, encoder, document_encoder, device)
        if isinstance(encoder, Encoder):
            fit_encoder(encoder, snapshot.catalog.meta(), folder)
        if isinstance(document_encoder, Encoder):
            require_same_encoder(document_encoder, snapshot.catalog.meta(), folder)

    @classmethod
    def build(
        cls,
        folder: StrPath,
        documents: Iterable[Document],
        *,
        encoder: EncoderLike = DEFAULT_ENCODER,
        dim: int | None = None,
        spec: IndexSpec | None = None,
        overwrite: bool = False,
        wait: float = 0,
        strict: bool = False,
        on_error: str | OnError = OnError.STOP,
        draft: bool = False,
        device: str | Device = Device.AUTO,
        language: str | Sequence[str] = AUTO,
        shards: int = 0,
        processes: int = 0,
        progress: Progress = SILENT,
        merge_policy: MergePolicy = DEFAULT_MERGE_POLICY,
    ) -> "Index":
        """Index documents into a folder and open it; one commit activates all of them.

        Args:
            folder: path of a new folder, an empty one or an index.
            documents: consumed once, a block in memory at a time. One that comes with its vectors (EncodedDocument) is
                not encoded.
            encoder: a built-in name, an encoder folder, or a loaded encoder.
            dim: leading dimensions of each vector to keep; None: all that the encoder has.
            spec: which index to make; None: chosen by the number of vectors.
            overwrite: replace an index in the folder; it can be searched until the new one is committed.
            wait: seconds to wait for another writer.
            strict: treat empty, split and duplicate documents and truncated titles as errors.
            on_error: "stop": a document that cannot be stored, or whose doc_id came before, is an error. "skip": it is
                left out, and `report.skipped` names it. `ReadOptions.on_error` says it for files that cannot be read.
            draft: encode many documents (from `merge_policy.min_draft_documents` on) with the static encoder of the
                space first, which takes seconds; `refine` then gives them the vectors of `encoder`. Other spaces and
                fewer documents are encoded directly.
            device: encodes documents, also in later changes through this object: "cpu", "cuda" (a GPU, by torch in
                bfloat16), or "auto": cuda if torch is installed and finds a GPU, else cpu. A loaded encoder stays on
                its device. Queries are encoded on the CPU.
            language: of the documents, for the stems of lexical search: a code such as "de", several such as "de,fr",
                or "auto": the languages of the first 4,096 documents (docs/languages.md).
            shards: divide the documents among so many index folders inside the folder, which processes build and which
                are searched as one (docs/scaling.md); 0: no shards.
            processes: that build the shards, 0: one a core.
            progress: shows a bar for each phase.
            merge_policy: for later changes through this object.

        Raises:
            CorpusError: there is no document with text, a doc_id comes twice, or a document breaks a rule of `strict`.
            IndexFolderError: the folder cannot be used, or holds an index and `overwrite` is not set.
            EncoderError: the encoder cannot be loaded, or has fewer than `dim` dimensions, or there is no such device.
            LockedError: another writer is at work.
            ShapeError: a language is unknown.
        """
        start = time.perf_counter()
        folder = Path(folder)
        spec = spec or IndexSpec()
        policy = parse_on_error(on_error, strict)
        wanted = find_device(device)
        languages = parse_languages(language)
        loaded = load_encoder(encoder, wanted)
        if dim is not None:
            loaded = loaded.truncate(dim)
        if shards:
            from hpdsearch.index.shards.build import ShardedBuild, build_shards
            from hpdsearch.index.shards.sharded_index import ShardedIndex

            how = ShardedBuild(shards, processes, spec, strict, policy, draft, languages, merge_policy, progress)
            report = build_shards(folder, documents, loaded, how, overwrite=overwrite, wait=wait)
            with after_commit(folder):
                sharded = ShardedIndex(folder, None, merge_policy, None, wanted)
            sharded._encoders.keep_for_documents(loaded)
            sharded.report = report
            sharded.wait = wait
            sharded.processes = processes
            return sharded
        if is_sharded(folder):
            raise IndexFolderError(
                f"{folder}: this folder holds an index in shards; choose another folder, or replace it with "
                "--overwrite --shards N"
            )
        with Transaction(folder, create=True, overwrite=overwrite, wait=wait, policy=merge_policy) as txn:
            txn.set_meta(encoder=loaded.location, encoder_hash=loaded.sha256, space=loaded.space)
            txn.set_meta(dim=loaded.dim, spec=spec.as_dict(), **{BACKEND: loaded.backend})
            fast = find_draft_encoder(loaded) if draft else None
            report = ingest(documents, txn, loaded, spec, IngestOptions(strict, policy, progress, fast, languages))
            if not report.n_documents:
                got = f"none ({report.n_empty} empty ones, {report.skipped.count} skipped ones)"
                raise CorpusError(f"expected at least one document with text, got {got}")
            _commit(txn, progress)
        for_queries = loaded if loaded is encoder or loaded.device == "cpu" else None
        with after_commit(folder):
            index = cls(folder, open_snapshot(folder), for_queries, merge_policy, device=wanted)
        index._encoders.keep_for_documents(loaded)
        report.seconds = time.perf_counter() - start
        index.report = report
        index.wait = wait
        return index

    @classmethod
    def open(
        cls,
        folder: StrPath,
        *,
        encoder: EncoderLike | None = None,
        document_encoder: EncoderLike | None = None,
        device: str | Device = Device.AUTO,
        wait: float = 0,
        merge_policy: MergePolicy = DEFAULT_MERGE_POLICY,
    ) -> "Index":
        """Open the last committed snapshot of a folder.

        Args:
            folder: an index folder.
            encoder: the query encoder; None: the encoder of the documents. It must be of the same space and have at
                least the dimensions of the index, to which its vectors are truncated.
            document_encoder: the encoder of the documents, if its folder has moved: it must have the same checksum.
                `add` and `update` store the new place. None: the place that the index names.
            device: encodes the documents of changes through this object, as in `build`.
            wait: seconds for which each change through this object waits for another writer, and `open` for the end of
                the first build.
            merge_policy: for changes through this object.

        Raises:
            IndexFolderError: the folder holds no committed index, or one of another format.
            CorruptIndexError: a file is missing or altered.
            LockedError: the first build did not end within `wait` seconds.
            EncoderError: the encoder is of another space, or has too few dimensions; or `document_encoder` is another
                encoder than that of the documents; or `device` is none.
        """
        folder = Path(folder)
        wanted = find_device(device)
        if is_sharded(folder):
            from hpdsearch.index.shards.sharded_index import ShardedIndex

            sharded = ShardedIndex(folder, encoder, merge_policy, document_encoder, wanted)
            sharded.wait = wait
            return sharded
        index = cls(folder, _open_built(folder, wait), encoder, merge_policy, document_encoder, wanted)
        index.wait = wait
        return index

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; it counts as one query
        self,
        query: str,
        k: int = ...,
        *,
        where: str | None = ...,
        mode: str | Mode = ...,
        ann_recall: float | None = ...,
        min_score: float | None = ...,
        explain: bool = ...,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        query: Sequence[str],
        k: int = ...,
        *,
        where: str | None = ...,
        mode: str | Mode = ...,
        ann_recall: float | None = ...,
        min_score: float | None = ...,
        explain: bool = ...,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | Sequence[str],
        k: int = 10,
        *,
        where: str | None = None,
        mode: str | Mode = Mode.HYBRID,
        ann_recall: float | None = None,
        min_score: float | None = None,
        explain: bool = False,
    ) -> list[Hit] | list[list[Hit]]:
        """Find the k best documents for a query, or for each of several.

        Args:
            query: a text in natural language, or several of them. In lexical and hybrid mode "exact words", +required
                and -excluded words restrict the hits (docs/searching.md); no text is an error.
            k: number of hits, k >= 1; fewer are returned only if fewer documents match.
            where: a filter (docs/filters.md), as in 'year >= 2020 and lang = "en"'.
            mode: "dense" (semantic, by cosine), "lexical" (BM25) or "hybrid" (both).
            ann_recall: share of the exact ten nearest passages to find, 0 < ann_recall <= 1. It selects another of the
                measured operating points (see `info`); None: the recall target that the index was built for.
            min_score: hits with a lower score are left out. A score is a cosine in mode dense, BM25 in mode lexical,
                which has no upper bound and depends on the corpus, and their combination in mode hybrid, which is at
                most 1, or 2 with identifiers. None: no hit is left out.
            explain: give each hit an `Explanation`: both scores and ranks, the words that match, the nearest sentence.
                It needs the query encoder in each mode.

        Returns:
            hits, best first; equal scores by doc_id. Several texts give a list for each.

        Raises:
            QueryError: a query is blank, k < 1, or mode, ann_recall or min_score is outside of its range.
            FilterError: `where` cannot be parsed.
            CorruptIndexError: a file is missing or altered.
        """
        texts = [query] if isinstance(query, str) else list(query)
        snapshot = self._snapshot
        results = search(
            snapshot,
            texts,
            partial(self._encoders.encode_queries, snapshot),
            partial(self._encoders.encode_sentences, snapshot),
            partial(self._encoders.known_words, snapshot),
            k=k,
            mode=parse_mode(mode),
            where=where,
            ann_recall=ann_recall,
            min_score=min_score,
            explain=explain,
        )
        return results[0] if isinstance(query, str) else results

    def like(
        self,
        doc_id: str | int,
        k: int = 10,
        *,
        where: str | None = None,
        ann_recall: float | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Find the documents that are most like one of the index, which is left out.

        A score is the cosine of the mean of the document's stored vectors with the other document's nearest passage.
        Nothing is encoded.

        Args:
            doc_id: a document of the index. An integer stands for the string of its digits.
            k: number of hits, k >= 1.
            where: a filter, as in `search`.
            ann_recall: as in `search`.
            min_score: hits with a lower score are left out; None: none.

        Returns:
            hits, best first; equal scores by doc_id.

        Raises:
            QueryError: the index holds no such document, or a value is outside of its range.
            FilterError: `where` cannot be parsed.
            CorruptIndexError: a file is missing or altered.
        """
        wanted = integer_to_id(doc_id)
        return search_like(self._snapshot, wanted, k=k, where=where, ann_recall=ann_recall, min_score=min_score)

    def add(
        self,
        documents: Iterable[Document],
        *,
        strict: bool = False,
        on_error: str | OnError = OnError.STOP,
        draft: bool = False,
        progress: Progress = SILENT,
    ) -> IngestReport:
        """Add documents; a document replaces the stored one with the same doc_id.

        A document whose doc_id was made from a file replaces the stored one of the same file; if another file has its
        doc_id, it gets a longer ending of its path (`notes/README.md`).

        Args:
            documents: consumed once, a block in memory at a time.
            strict: treat empty, split and duplicate documents and truncated titles as errors.
            on_error: as in `build`.
            draft: as in `build`.
            progress: shows a bar for each phase.

        Raises:
            CorpusError: a doc_id comes twice in `documents`, or a document breaks a rule of `strict`.
            EncoderError: the encoder of the documents cannot be loaded; if its folder has moved, see `open`.
            LockedError: another writer is at work.
            IndexFolderError: the folder cannot be written; nothing was changed.
        """
        return self._add(documents, IngestOptions(strict, parse_on_error(on_error, strict), progress), draft)

    def update(
        self,
        documents: Iterable[Document],
        *,
        under: StrPath | Sequence[StrPath] | CorpusScope,
        strict: bool = False,
        on_error: str | OnError = OnError.STOP,
        draft: bool = False,
        progress: Progress = SILENT,
    ) -> IngestReport:
        """Make the index hold exactly these documents of their sources.

        Only changed documents are written, and only new texts are encoded.

        Args:
            documents: all documents that the sources hold now; consumed once, a block in memory at a time.
            under: the files and folders that they come from, relative or absolute. Stored documents from there that
                are not among `documents` are deleted. Documents of other sources stay. A document that `add` replaced
                from another source, or that `delete` removed and that is unchanged, is left out.
            strict: as in `add`, for the documents that changed.
            on_error: as in `build`. Stored documents of a file of which something was skipped are not deleted, also if
                `read_corpus` skipped it; if its documents pass through another iterator on the way, let `under` be a
                CorpusScope that is told `stats.locations_skipped`.
            draft: as in `build`.
            progress: shows a bar for each phase.

        Raises:
            CorpusError: a doc_id comes twice in `documents`, or a document breaks a rule of `strict`.
            EncoderError: the encoder of the documents cannot be loaded; if its folder has moved, see `open`.
            LockedError: another writer is at work.
            IndexFolderError: the folder cannot be written; nothing was changed.
        """
        if not isinstance(under, CorpusScope):
            paths = [str(path) for path in ([under] if isinstance(under, str | Path) else under)]
            skipped = documents.stats.locations_skipped if isinstance(documents, CorpusReader) else ()
            under = CorpusScope(paths, skipped=skipped)
        return self._update(documents, under, IngestOptions(strict, parse_on_error(on_error, strict), progress), draft)

    def refine(self, *, progress: Progress = SILENT) -> int:
        """Give the documents of a draft the vectors of the index's encoder; return the number of passages encoded.

        Each block of documents is durable when it is encoded, and becomes visible in a few steps. Stopped at any
        moment, the next call goes on. Others may search and change the index meanwhile.

        Raises:
            EncoderError: the encoder of the documents cannot be loaded; if its folder has moved, see `open`.
            LockedError: another process refines this index, or another writer did not end.
            IndexFolderError: the folder cannot be written, or the index was replaced meanwhile.
        """
        meta = self._snapshot.catalog.meta()
        if Draft.read(meta) is None:
            return 0
        encoder = self._encoders.for_documents(meta)
        lock = lock_folder(self.folder, self.wait, name=REFINE_LOCK, action="refining")
        try:
            n_encoded = refine(self.folder, partial(self._transaction, PUBLISH_WAIT), encoder, progress)
        finally:
            lock.release()
        self._reopen()
        return n_encoded

    def _add(self, documents: Iterable[Document], options: IngestOptions, draft: bool) -> IngestReport:
        return self._write(partial(ingest, documents), options, draft)

    def _update(
        self, documents: Iterable[Document], scope: CorpusScope, options: IngestOptions, draft: bool
    ) -> IngestReport:
        return self._write(partial(update, documents, scope), options, draft)

    def _write(self, write: Callable[..., IngestReport], options: IngestOptions, draft: bool) -> IngestReport:
        start = time.perf_counter()
        with self._transaction() as txn:
            encoder = self._encoders.for_documents(txn.meta)
            has_moved = self._encoders.finds_documents_encoder and encoder.location != txn.meta["encoder"]
            if has_moved:
                txn.set_meta(encoder=encoder.location)
            options = replace(options, draft_encoder=find_draft_encoder(encoder) if draft else None)
            report = write(txn, encoder, stored_spec(txn), options)
            if report.n_documents or report.n_deleted or report.n_relocated or report.n_files or has_moved:
                _commit(txn, options.progress)
        self._reopen()
        report.seconds = time.perf_counter() - start
        self.report = report
        return report

    def delete(self, doc_ids: str | int | Iterable[str | int]) -> int:
        """Delete documents and return their number; with an error none is deleted. `update` leaves them deleted.

        An integer stands for the string of its digits.

        Raises:
            QueryError: a doc_id is not in the index.
            LockedError: another writer is at work.
            IndexFolderError: the folder cannot be written; nothing was changed.
        """
        given = doc_ids if isinstance(doc_ids, Iterable) and not isinstance(doc_ids, str) else [doc_ids]
        wanted = list(dict.fromkeys(map(integer_to_id, given)))
        with self._transaction() as txn:
            stored = txn.catalog.doc_numbers(wanted)
            require_stored(self.folder, wanted, stored)
            if stored:
                remove_documents(txn, list(stored.values()))
        self._reopen()
        return len(wanted)

    def refresh(self) -> bool:
        """Open the last commit of the folder if it is not the opened one; return whether it was opened.

        Where nothing has changed, this takes some microseconds, so a long-lived program may call it before each search.

        Raises:
            IndexFolderError: the folder is gone, or changes all the time; the index still answers from its snapshot.
            CorruptIndexError: a file is missing or altered; the index still answers from its snapshot.
        """
        with self._opening.get():
            return self._open_newest()

    def get(self, doc_id: str | int) -> Document | None:
        """Return a document of the index; None: the index holds none with this doc_id.

        An integer stands for the string of its digits.

        Raises:
            CorruptIndexError: the document does not match its checksum.
        """
        catalog = self._snapshot.catalog
        wanted = integer_to_id(doc_id)
        number = catalog.doc_numbers([wanted]).get(wanted)
        return None if number is None else catalog.documents([number])[number].document

    def vectors(self, doc_ids: Sequence[str | int]) -> list[Matrix]:
        """Return the stored vectors of documents: for each, those of its passages, float32 (n_passages, dim).

        Args:
            doc_ids: documents of the index. An integer stands for the string of its digits.

        Raises:
            QueryError: the index holds no document with one of these ids.
            CorruptIndexError: a vector does not match its checksum.
        """
        snapshot = self._snapshot
        wanted = [integer_to_id(doc_id) for doc_id in doc_ids]
        numbers = snapshot.catalog.doc_numbers(wanted)
        for doc_id in wanted:
            if doc_id not in numbers:
                raise QueryError(f"{self.folder}: doc_id {doc_id!r} is not in the index")
        return read_document_vectors(snapshot, [numbers[doc_id] for doc_id in wanted]) if wanted else []

    def documents(self) -> Iterator[EncodedDocument]:
        """Yield all documents with their passages and vectors, in the order in which they were added.

        `Index.build` and `add` take them and encode nothing.

        Raises:
            IndexFolderError: the index is a draft.
            CorruptIndexError: a document or a vector does not match its checksum.
        """
        return encoded_documents(self._snapshot)

    def export(self, file: BinaryIO, to: str | ExportFormat, *, progress: Progress = SILENT) -> int:
        """Write all documents with their vectors in a format of docs/export.md; return the number of documents.

        Args:
            file: opened for writing bytes; it need not seek.
            to: "parquet", "jsonl", "qdrant-jsonl" or "opensearch-bulk".
            progress: shows a bar.

        Raises:
            QueryError: there is no such format.
            MissingExtraError: Parquet needs pyarrow.
            IndexFolderError: the index is a draft.
            CorruptIndexError: a document or a vector does not match its checksum.
        """
        try:
            wanted = ExportFormat(to)
        except ValueError:
            formats = ", ".join(each.value for each in ExportFormat)
            raise QueryError(f"to: expected one of {formats}, got {to!r}") from None
        return export_snapshot(self._snapshot, wanted, file, progress)

    def count(self, where: str) -> int:
        """Count the documents that match a filter.

        Raises:
            FilterError: `where` cannot be parsed.
        """
        return self._snapshot.catalog.count_where(where)

    def doc_ids(self, where: str) -> list[str]:
        """Return the ids of the documents that match a filter, in the order in which they were added.

        Raises:
            FilterError: `where` cannot be parsed.
        """
        catalog = self._snapshot.catalog
        found = catalog.doc_ids(sorted(set(catalog.docs_of_rows(catalog.rows_where(where)).values())))
        return [doc_id for _, doc_id in sorted(found.items())]

    def compact(self, *, progress: Progress = SILENT) -> None:
        """Merge all segments into one and remove deleted documents from the disk; searches go on meanwhile.

        Raises:
            LockedError: another writer is at work.
            IndexFolderError: the folder cannot be written, for example because the disk is full.
        """
        with self._transaction() as txn:
            compact(txn, stored_spec(txn), progress)
            _commit(txn, progress)
            with txn.cleanup():
                txn.catalog.vacuum()
        self._reopen()

    def reindex(self, spec: IndexSpec, *, progress: Progress = SILENT) -> None:
        """Build other codes from the stored vectors, by another spec; one commit replaces the old ones.

        Raises:
            LockedError: another writer is at work.
            ShapeError: the spec does not fit the vectors.
            IndexFolderError: the folder cannot be written; nothing was changed.
        """
        with self._transaction() as txn:
            txn.set_meta(spec=spec.as_dict())
            for entry in txn.catalog.segments():
                rebuild_index(txn, entry, spec, progress)
            _commit(txn, progress)
        self._reopen()

    @property
    def generation(self) -> int:
        """Number of committed changes of the opened snapshot."""
        return self._snapshot.catalog.generation()

    @property
    def stored_encoder(self) -> tuple[str, str]:
        """Location and checksum of the encoder of the documents."""
        meta = self._snapshot.catalog.meta()
        return meta["encoder"], meta["encoder_hash"]

    def fields(self) -> list[str]:
        """Return the names of the metadata fields that have a value, sorted."""
        return self._snapshot.catalog.fields()

    def frequent_values(self, field: str, n: int = 20) -> list[tuple[str, int]]:
        """Return the n most frequent values of a metadata field with their numbers of documents, the largest first.

        Values are texts as filters compare them; those of more than 200 characters are left out. Every value of the
        field is read, from the last commit and over a connection of its own, so that searches go on meanwhile.
        """
        catalog = Catalog.open(self.folder)
        try:
            return catalog.frequent_values(field, n)
        finally:
            catalog.close()

    def info(self) -> IndexInfo:
        """Describe the index."""
        return describe(self.folder, self._snapshot)

    def verify(self) -> list[str]:
        """Check all files against their checksums and one another.

        Returns:
            a line for each problem; none if the index is intact.

        Raises:
            IndexFolderError: the folder cannot be opened.
        """
        return find_problems(self.folder)

    def close(self) -> None:
        """Close the files; the index cannot be used afterwards."""
        with self._opening.get():
            self._watch.close()
            self._opened.catalog.close()

    def __len__(self) -> int:
        return self._snapshot.catalog.n_documents()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def _snapshot(self) -> Snapshot:
        """The snapshot; a forked child opens the committed one, with the parent's segments as far as they are in it."""
        if self._opened.catalog.is_inherited:
            self._opened = self._open_snapshot(self._opened)
        return self._opened

    def _open_snapshot(self, previous: Snapshot) -> Snapshot:
        """Open the committed snapshot; what it shares with the previous one is reused."""
        return open_snapshot(self.folder, previous)

    def _transaction(self, min_wait: float | None = None) -> Transaction:
        wait = self.wait if min_wait is None else max(min_wait, self.wait)
        return Transaction(self.folder, wait=wait, policy=self.merge_policy)

    def _reopen(self) -> None:
        """Open the snapshot that was just committed."""
        # A thread that opened an earlier commit must not be the last one to store it.
        with self._opening.get(), after_commit(self.folder):
            self._open_newest()

    def _open_newest(self) -> bool:
        """Open the last commit if it is not the opened one; return whether it was opened."""
        state = self._watch.read(self.folder)
        if state == self._opened_state:
            return False
        self._opened = self._open_snapshot(self._snapshot)
        self._opened_state = (state[0], self._opened.catalog.generation())  # others may have committed meanwhile
        return True


def require_stored(folder: Path, wanted: Sequence[str], stored: Container[str]) -> None:
    """Raise QueryError if one of the wanted doc_ids is not stored."""
    if missing := [doc_id for doc_id in wanted if doc_id not in stored]:
        shown = ", ".join(repr(doc_id) for doc_id in missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise QueryError(f"{folder}: {len(missing)} of {len(wanted)} doc_ids are not in the index: {shown}")


def remove_documents(txn: Transaction, docs: Sequence[int]) -> None:
    """Delete documents by number, and commit."""
    withdraw(txn.catalog, docs)
    txn.catalog.remove(docs)
    apply_deletions(txn, stored_spec(txn), SILENT)
    txn.commit()


def _open_built(folder: Path, wait: float) -> Snapshot:
    """Open the committed snapshot; while the first build runs, wait for its end."""
    try:
        return open_snapshot(folder)
    except NothingCommittedError:
        if not wait:
            raise
    lock_folder(folder, wait).release()
    return open_snapshot(folder)


@contextmanager
def after_commit(folder: Path) -> Iterator[None]:
    """Let no error of a block that opens the last commit look like a change that failed."""
    try:
        yield
    except (HpdsearchError, OSError) as error:
        raise IndexFolderError(f"{folder}: the change is committed, but cannot be opened: {error}") from error


def stored_spec(txn: Transaction) -> IndexSpec:
    """Return the spec that an index was built by."""
    return IndexSpec.from_dict(txn.meta["spec"])


def parse_mode(mode: str | Mode) -> Mode:
    """Return the mode of a name; raise QueryError for another one."""
    try:
        return Mode(mode)
    except ValueError:
        raise QueryError(f"mode: expected {', '.join(m.value for m in Mode)}, got {mode!r}") from None


def parse_on_error(on_error: str | OnError, strict: bool) -> OnError:
    """Return how errors in documents are handled.

    Raises:
        CorpusError: there is no such way, or it contradicts `strict`.
    """
    try:
        policy = OnError(on_error)
    except ValueError:
        raise CorpusError(f"on_error: expected {', '.join(each.value for each in OnError)}, got {on_error!r}") from None
    if strict and policy is OnError.SKIP:
        raise CorpusError('expected strict or on_error="skip", got both')
    return policy


def _commit(txn: Transaction, progress: Progress) -> None:
    bar = progress.phase("committing", total=1, unit="step")
    txn.commit()
    bar.update(1)
    bar.close()
