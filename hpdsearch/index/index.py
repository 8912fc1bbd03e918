"""Index: one folder of documents that can be searched, added to and deleted from."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, overload

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.corpus.passages import title_before_text
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import DEFAULT_ENCODER, Backend, Encoder
from hpdsearch.errors import CorpusError, EncoderError, HpdsearchError, IndexFolderError, QueryError
from hpdsearch.index.info import IndexInfo, describe
from hpdsearch.index.verify import find_problems
from hpdsearch.indexer.ingest import IngestReport, ingest
from hpdsearch.indexer.merging import compact_segments, rebuild_index, settle
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.indexer.update import update
from hpdsearch.records import Document, Hit
from hpdsearch.search import Mode, search
from hpdsearch.search.opening import open_snapshot
from hpdsearch.search.snapshot import Snapshot

logger = logging.getLogger(__name__)

StrPath = str | Path
EncoderLike = str | Path | Encoder


class Index:
    """A searchable index folder. Make one with `build`, open one with `open`; safe to search from several threads.

    An open index answers from the state that it opened; changes made through the same object are seen by it, changes
    made by others after opening it again.

    Attributes:
        folder: its place.
        report: what became of the documents of `build`, or of the last `add` through this object.
    """

    def __init__(self, folder: Path, state: Snapshot, encoder: EncoderLike | None = None) -> None:
        """Use `build` or `open`."""
        self.folder = folder
        self.report: IngestReport | None = None
        self._state = state
        self._encoder_choice = encoder
        self._encoder = encoder if isinstance(encoder, Encoder) else None
        self._loading = threading.Lock()
        if self._encoder is not None:
            _of_space(self._encoder, state.catalog.meta(), folder)

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
        strict: bool = False,
        progress: Progress = SILENT,
    ) -> "Index":
        """Index documents into a folder and open it. Nothing is in force before all of it is.

        Args:
            folder: made if it is not there; must be empty or an index.
            documents: consumed once, a block in memory at a time.
            encoder: a built-in name, an encoder folder, or a loaded encoder.
            dim: numbers to keep of each vector, the first ones; None: all that the encoder makes.
            spec: which index to make; None: chosen by the count of vectors.
            overwrite: replace an index that is there; it answers until the new one is in force.
            strict: treat empty, cut and duplicate documents as errors.
            progress: a bar a phase.

        Raises:
            CorpusError: there is no document with text, a doc_id comes twice, or a document breaks a rule of `strict`.
            IndexFolderError: the folder cannot be used, or holds an index and `overwrite` is not set.
            EncoderError: the encoder cannot be loaded, or has fewer than `dim` dimensions.
            LockedError: another writer is at work.
        """
        folder, start = Path(folder), time.perf_counter()
        loaded = _load(encoder)
        loaded = loaded if dim is None else loaded.truncate(dim)
        with Transaction(folder, create=True, overwrite=overwrite) as change:
            change.meta |= {"encoder": loaded.location, "encoder_hash": loaded.sha256}
            change.meta |= {"space": loaded.space, "dim": loaded.dim, "spec": (spec or IndexSpec()).as_dict()}
            report = ingest(documents, change, loaded, spec or IndexSpec(), strict=strict, progress=progress)
            if not report.n_documents:
                raise CorpusError(f"expected at least one document with text, got none ({report.n_empty} empty ones)")
            _commit(change, progress)
        index = cls(folder, _open_committed(folder), loaded)
        report.seconds = time.perf_counter() - start
        index.report = report
        return index

    @classmethod
    def open(cls, folder: StrPath, *, encoder: EncoderLike | None = None) -> "Index":
        """Open the state of a folder that is committed now.

        Args:
            folder: an index folder.
            encoder: for queries; None: the one that the documents were encoded with. It must be of the same space and
                at least as wide as the index, whose width its vectors are cut to.

        Raises:
            IndexFolderError: no index there, nothing committed, or another format.
            CorruptIndexError: a file is missing or altered.
            EncoderError: the encoder is of another space or too narrow.
        """
        return cls(Path(folder), open_snapshot(Path(folder)), encoder)

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; it counts as one query
        self,
        query: str,
        k: int = ...,
        *,
        where: str | None = ...,
        mode: str | Mode = ...,
        ann_recall: float | None = ...,
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
    ) -> list[list[Hit]]: ...
    def search(
        self,
        query: str | Sequence[str],
        k: int = 10,
        *,
        where: str | None = None,
        mode: str | Mode = Mode.HYBRID,
        ann_recall: float | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """Find the k best documents for a query, or for each of several.

        Args:
            query: plain words; a list of texts gives a list of lists.
            k: hits wanted; fewer come only if fewer documents match.
            where: a filter on metadata, as in 'year >= 2020 and lang = "en"'.
            mode: "hybrid" (words and meaning), "dense" (meaning) or "lexical" (words).
            ann_recall: share of the exact ten nearest passages to find, 0 < ann_recall <= 1. It selects another of the
                measured operating points (see `info`); None: the recall target that the index was built for.

        Returns:
            hits, best first; equal scores by doc_id.

        Raises:
            QueryError: a query is blank, k < 1, or mode or ann_recall is outside of its range.
            FilterError: `where` cannot be parsed.
            CorruptIndexError: a file is missing or altered.
        """
        texts, state = [query] if isinstance(query, str) else list(query), self._state
        results = search(
            state, texts, partial(self._encode, state), k=k, mode=_mode(mode), where=where, ann_recall=ann_recall
        )
        return results[0] if isinstance(query, str) else results

    def add(self, documents: Iterable[Document], *, strict: bool = False, progress: Progress = SILENT) -> IngestReport:
        """Add documents; one whose doc_id is there already replaces the old one.

        Raises:
            CorpusError: a doc_id came twice in `documents`. LockedError: another writer is at work.
        """
        return self._write(partial(ingest, documents), strict, progress)

    def update(
        self,
        documents: Iterable[Document],
        *,
        under: StrPath | Sequence[StrPath],
        strict: bool = False,
        progress: Progress = SILENT,
    ) -> IngestReport:
        """Make the index hold these documents as they are now: only what changed is written, only new texts encoded.

        Args:
            documents: all that the sources hold now, consumed once.
            under: the files and folders that they come from, relative or absolute: what was read there and is not
                among `documents` is deleted. Documents of other sources stay.
            strict: as in `build`, of the documents that changed.
            progress: a bar a phase.

        Raises:
            CorpusError: a doc_id came twice in `documents`. LockedError: another writer is at work.
        """
        paths = [under] if isinstance(under, str | Path) else under
        return self._write(partial(update, documents, [str(path) for path in paths]), strict, progress)

    def _write(self, write: Callable[..., IngestReport], strict: bool, progress: Progress) -> IngestReport:
        start = time.perf_counter()
        with Transaction(self.folder) as change:
            encoder = self._document_encoder(change.meta)
            spec = IndexSpec.from_dict(change.meta["spec"])
            report = write(change, encoder, spec, strict=strict, progress=progress)
            if report.n_documents or report.n_deleted:
                _commit(change, progress)
        self._reopen()
        report.seconds = time.perf_counter() - start
        self.report = report
        return report

    def delete(self, doc_ids: Iterable[str]) -> int:
        """Delete documents and return how many; all of them or, with an error, none.

        Raises:
            QueryError: a doc_id is not in the index. LockedError: another writer is at work.
        """
        wanted = list(dict.fromkeys([doc_ids] if isinstance(doc_ids, str) else doc_ids))
        with Transaction(self.folder) as change:
            there = change.catalog.doc_numbers(wanted)
            if missing := [doc_id for doc_id in wanted if doc_id not in there]:
                shown = ", ".join(repr(doc_id) for doc_id in missing[:5]) + (" ..." if len(missing) > 5 else "")
                raise QueryError(f"{self.folder}: {len(missing)} of {len(wanted)} doc_ids are not there: {shown}")
            if there:
                change.catalog.remove(list(there.values()))
                settle(change, IndexSpec.from_dict(change.meta["spec"]), None, [], SILENT)
                change.commit()
        self._reopen()
        return len(wanted)

    def count(self, where: str) -> int:
        """Count the documents that match a filter.

        Raises:
            FilterError: `where` cannot be read.
        """
        return self._state.catalog.count_where(where)

    def compact(self, *, progress: Progress = SILENT) -> None:
        """Merge all segments into one and take what was deleted off the disk; readers go on meanwhile.

        Raises:
            LockedError: another writer is at work. IndexFolderError: no room on the disk.
        """
        with Transaction(self.folder) as change:
            compact_segments(change, IndexSpec.from_dict(change.meta["spec"]), progress)
            _rewrite_words(change, progress)
            _commit(change, progress)
            with change.tidying():
                change.catalog.vacuum()
        self._reopen()

    def reindex(self, spec: IndexSpec, *, progress: Progress = SILENT) -> None:
        """Make other index files of the stored vectors, by another spec; the old ones answer until all are in force.

        Raises:
            LockedError: another writer is at work. ShapeError: the spec does not fit the vectors.
        """
        with Transaction(self.folder) as change:
            change.meta["spec"] = spec.as_dict()
            for entry in change.catalog.segments():
                rebuild_index(change, entry, spec, progress)
            _commit(change, progress)
        self._reopen()

    def info(self) -> IndexInfo:
        """Describe the index."""
        return describe(self.folder, self._state)

    def verify(self) -> list[str]:
        """Read everything back against its sums; return one line for each problem, none if the index is whole."""
        return find_problems(self.folder)

    def close(self) -> None:
        """Let go of the files; the index cannot be used afterwards."""
        self._state.catalog.close()

    def __len__(self) -> int:
        return self._state.catalog.n_documents()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _reopen(self) -> None:
        self._state = _open_committed(self.folder, self._state)

    def _encode(self, state: Snapshot, texts: Sequence[str]) -> Matrix:
        """Return the vectors (n, dim) of queries; the encoder is loaded by the first call.

        Another process may have overwritten the index with vectors of another space before an add or delete here.
        """
        meta = state.catalog.meta()
        with self._loading:
            other_space = self._encoder is not None and self._encoder.space != meta["space"]
            if self._encoder is None or (other_space and self._encoder_choice is None):
                # Openvino takes half a second longer to load, which queries do not win back.
                self._encoder = _load(self._encoder_choice or meta["encoder"], Backend.ONNX)
            encoder = self._encoder
        return _of_space(encoder, meta, self.folder).encode(texts)

    def _document_encoder(self, meta: dict[str, Any]) -> Encoder:
        """Return the encoder that the documents were encoded with."""
        encoder = self._encoder
        if encoder is None or encoder.sha256 != meta["encoder_hash"]:
            encoder = _load(meta["encoder"])
        return _of_space(encoder, meta, self.folder)


def _open_committed(folder: Path, before: Snapshot | None = None) -> Snapshot:
    """Open what was just committed; an error on the way must not look like that of a change that failed."""
    try:
        return open_snapshot(folder, before)
    except (HpdsearchError, OSError) as error:
        raise IndexFolderError(f"{folder}: the change is in force, but cannot be opened: {error}") from error


def _load(encoder: EncoderLike, backend: Backend = Backend.AUTO) -> Encoder:
    if isinstance(encoder, Encoder):
        return encoder
    start = time.perf_counter()
    loaded = Encoder.load(encoder, backend=backend)
    logger.info("encoder %s loaded in %.0f ms", loaded.location, (time.perf_counter() - start) * 1000)
    return loaded


def _of_space(encoder: Encoder, meta: dict[str, Any], folder: Path) -> Encoder:
    """Return the encoder, cut to the index's width; EncoderError unless its vectors may meet those of the index."""
    if encoder.space != meta["space"]:
        raise EncoderError(
            f"{folder}: holds vectors of space {meta['space']} (encoder {meta['encoder']}), but encoder {encoder.name} "
            f"is of space {encoder.space}; query with --query-encoder {meta['encoder']}, or index again with "
            f"--overwrite --encoder {encoder.location}"
        )
    if encoder.model_dim < meta["dim"]:
        raise EncoderError(
            f"{folder}: holds vectors of {meta['dim']} numbers (encoder {meta['encoder']}), but encoder {encoder.name} "
            f"makes only {encoder.model_dim}; query with --query-encoder {meta['encoder']}"
        )
    return encoder.truncate(meta["dim"])


def _mode(mode: str | Mode) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        raise QueryError(f"mode: expected {', '.join(m.value for m in Mode)}, got {mode!r}") from None


def _commit(change: Transaction, progress: Progress) -> None:
    bar = progress.phase("committing", total=1, unit="step")
    change.commit()
    bar.update(1)
    bar.close()


def _rewrite_words(change: Transaction, progress: Progress) -> None:
    """Make the lexical index anew from the documents: what was deleted goes with the old one."""
    change.begin_lexical()
    bar = progress.phase("words", total=change.catalog.n_documents(), unit="doc")
    for stored in change.catalog.all_documents():
        title = title_before_text(stored.document)
        for row, start, end in stored.passages:
            change.words.add(row, title, stored.document.text[start:end])
        bar.update(1)
    bar.close()
