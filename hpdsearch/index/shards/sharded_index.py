"""ShardedIndex: the shards of a folder, opened in one process and searched as one index."""

import time
from collections.abc import Collection, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from hpdsearch.catalog import CLUSTER_FILE, Catalog, ShardedCatalog
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.corpus.scope import CorpusScope
from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Device
from hpdsearch.errors import IndexFolderError
from hpdsearch.index.encoders import EncoderLike, find_draft_encoder
from hpdsearch.index.index import Index
from hpdsearch.index.info import IndexInfo
from hpdsearch.index.shards.build import needs_no_training, remove_leftovers, share_codes
from hpdsearch.index.shards.change import change_shards, delete_from_shards
from hpdsearch.index.shards.cluster_file import ClusterFile, read_cluster
from hpdsearch.index.shards.info import describe_shards
from hpdsearch.index.shards.jobs import EncoderChoice, RefineJob
from hpdsearch.index.shards.processes import run_jobs
from hpdsearch.index.shards.running import LocalRunner
from hpdsearch.indexer.draft import Draft
from hpdsearch.indexer.ingest import IngestOptions, IngestReport
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.indexer.transaction import REFINE_LOCK, lock_folder
from hpdsearch.records import Document, integer_to_id
from hpdsearch.search.commits import CommitState, CommitWatch, inode
from hpdsearch.search.sharded import ShardedSnapshot, open_sharded_snapshot
from hpdsearch.search.snapshot import Snapshot


class ShardedIndex(Index):
    """An index in shards, as `Index.open` returns it. It has the methods of an index and gives the same hits.

    A change commits each shard on its own. If it fails between two shards, those that come later stay at their last
    commit; the same change completes it.

    Attributes:
        processes: that refine and rebuild shards; 0: one a core.
    """

    _with_vectors: Collection[int] | None = None  # the shards whose vectors this process searches; None: all

    def __init__(
        self,
        folder: Path,
        encoder: EncoderLike | None,
        merge_policy: MergePolicy,
        document_encoder: EncoderLike | None,
        device: Device,
    ) -> None:
        """Use `Index.open`.

        Raises:
            IndexFolderError: cluster.json or a shard cannot be read.
            CorruptIndexError: a file is missing or altered, or the shards do not belong together.
        """
        self.processes = 0
        self._file = folder / CLUSTER_FILE
        self._read_file(folder)
        snapshot = open_sharded_snapshot(self._file, self.shards, with_vectors=self._with_vectors)
        self._require_equal(snapshot)
        self._states = [_state(shard) for shard in snapshot.shards]
        super().__init__(folder, snapshot, encoder, merge_policy, document_encoder, device)

    def _read_file(self, folder: Path) -> None:
        self._inode = inode(self._file)
        self.cluster: ClusterFile = read_cluster(folder)
        self.shards = self.cluster.folders(folder)
        self._watches = [CommitWatch() for _ in self.shards]

    def _require_equal(self, snapshot: ShardedSnapshot) -> None:
        """Check that the vectors of all shards can be compared with one another."""
        expected = (self.cluster.space, self.cluster.dim)
        for folder, shard in zip(self.shards, snapshot.shards, strict=True):
            meta = shard.catalog.meta()
            if (found := (meta["space"], meta["dim"])) != expected:
                raise IndexFolderError(
                    f"{folder}: expected vectors of space {expected[0]} and {expected[1]} dimensions, as "
                    f"{self._file.name} says, got {found[0]} and {found[1]}; restore the folder, or index again with "
                    "--overwrite"
                )

    def _add(self, documents: Iterable[Document], options: IngestOptions, draft: bool) -> IngestReport:
        return self._change(documents, None, options, draft)

    def _update(
        self, documents: Iterable[Document], scope: CorpusScope, options: IngestOptions, draft: bool
    ) -> IngestReport:
        return self._change(documents, scope, options, draft)

    def _change(
        self, documents: Iterable[Document], scope: CorpusScope | None, options: IngestOptions, draft: bool
    ) -> IngestReport:
        """Change all shards under the lock of the folder; see `change_shards`."""
        start = time.perf_counter()
        lock = lock_folder(self.folder, self.wait)
        try:
            meta = self._snapshot.catalog.meta()
            encoder = self._encoders.for_documents(meta)
            if draft:
                options = replace(options, draft_encoder=find_draft_encoder(encoder))
            is_moved = self._encoders.finds_documents_encoder and encoder.location != meta["encoder"]
            location = encoder.location if is_moved else None
            report = change_shards(
                documents, scope, self.folder, self.shards, encoder, options, self.merge_policy, location
            )
            remove_leftovers(self.folder, self.cluster.shards)
        finally:
            lock.release()
            self._reopen()
        report.seconds = time.perf_counter() - start
        self.report = report
        return report

    def delete(self, doc_ids: str | int | Iterable[str | int]) -> int:
        """Delete documents and return their number; see `Index.delete`."""
        given = doc_ids if isinstance(doc_ids, Iterable) and not isinstance(doc_ids, str) else [doc_ids]
        wanted = list(dict.fromkeys(map(integer_to_id, given)))
        lock = lock_folder(self.folder, self.wait)
        try:
            delete_from_shards(self.folder, self.shards, wanted, self.merge_policy)
        finally:
            lock.release()
            self._reopen()
        return len(wanted)

    def refine(self, *, progress: Progress = SILENT) -> int:
        """Refine the drafts of all shards in processes; see `Index.refine`."""
        meta = self._snapshot.catalog.meta()
        if Draft.read(meta) is None:
            return 0
        encoder = EncoderChoice.of(self._encoders.for_documents(meta))
        lock = lock_folder(self.folder, self.wait, name=REFINE_LOCK, action="refining")
        try:
            n_draft = self.info().n_draft
            bar = progress.phase("refining", total=n_draft, unit="passage")
            jobs = [RefineJob(str(shard.absolute()), encoder) for shard in self.shards]
            results = run_jobs(jobs, self.processes, bar)
            bar.close()
            self._train_again(progress)
        finally:
            lock.release()
            self._reopen()
        return sum(result["n_encoded"] for result in results)

    def compact(self, *, progress: Progress = SILENT) -> None:
        """Compact each shard; see `Index.compact`."""
        lock = lock_folder(self.folder, self.wait)
        try:
            for shard in self.shards:
                with Index.open(shard, encoder=None, wait=self.wait, merge_policy=self.merge_policy) as opened:
                    opened.compact(progress=progress)
            self._train_again(progress)
        finally:
            lock.release()
            self._reopen()

    def reindex(self, spec: IndexSpec, *, progress: Progress = SILENT) -> None:
        """Build other codes of all shards, with the same centroids and codebooks; see `Index.reindex`."""
        lock = lock_folder(self.folder, self.wait)
        try:
            self._share_codes(spec, progress)
            self.cluster = replace(self.cluster, spec=spec.as_dict())
            self.cluster.write(self.folder)
        finally:
            lock.release()
            self._reopen()

    def _train_again(self, progress: Progress) -> None:
        """Give all shards the same centroids and codebooks again, after shards have trained their own."""
        spec = IndexSpec.from_dict(self.cluster.spec)
        if not needs_no_training(spec):
            self._share_codes(spec, progress)

    def _share_codes(self, spec: IndexSpec, progress: Progress) -> None:
        share_codes(self.folder, self.shards, spec, LocalRunner(self.processes), progress, again=True)

    def frequent_values(self, field: str, n: int = 20) -> list[tuple[str, int]]:
        """Return the n most frequent values of a metadata field with their numbers of documents, the largest first."""
        with ExitStack() as stack:
            shards = [stack.enter_context(closing(Catalog.open(shard))) for shard in self.shards]
            return ShardedCatalog(self._file, shards).frequent_values(field, n)

    def info(self) -> IndexInfo:
        """Describe the index."""
        return describe_shards(self.folder, self.shards, self._snapshot, self.cluster)

    def close(self) -> None:
        """Close the files of all shards; the index cannot be used afterwards."""
        with self._opening.get():
            for watch in self._watches:
                watch.close()
            self._opened.catalog.close()

    def _open_snapshot(self, previous: Snapshot) -> ShardedSnapshot:
        return open_sharded_snapshot(self._file, self.shards, previous, with_vectors=self._with_vectors)

    def _open_newest(self) -> bool:
        """Open the last commits of all shards if they are not the opened ones; return whether they were opened."""
        if inode(self._file) != self._inode:  # another build, or another spec
            for watch in self._watches:
                watch.close()
            self._read_file(self.folder)
            self._states = []
        states = [watch.read(shard) for watch, shard in zip(self._watches, self.shards, strict=True)]
        if states == self._states:
            return False
        opened = self._open_snapshot(self._snapshot)
        self._require_equal(opened)
        self._opened = opened
        self._states = [_state(shard) for shard in opened.shards]
        return True


def _state(shard: Snapshot) -> CommitState:
    return inode(shard.catalog.path), shard.catalog.generation()
