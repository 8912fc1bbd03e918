"""Change an index in shards: documents get their doc_ids among all shards, then each shard commits its own."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hpdsearch.corpus import CorpusReader
from hpdsearch.corpus.scope import CorpusScope
from hpdsearch.corpus.sources import Source
from hpdsearch.encoder import Encoder
from hpdsearch.index.index import remove_documents, require_stored, stored_spec
from hpdsearch.index.shards.cluster_file import choose_shard
from hpdsearch.index.shards.jobs import join_reports, report_values
from hpdsearch.index.shards.spool import SPOOL, SpooledDocuments, remove_spool, write_spool
from hpdsearch.index.shards.stored import AllShards
from hpdsearch.indexer.file_states import FileStates
from hpdsearch.indexer.incoming import IncomingDocuments
from hpdsearch.indexer.ingest import IngestOptions, IngestReport, ingest_incoming
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.indexer.transaction import Transaction
from hpdsearch.indexer.update import update_incoming
from hpdsearch.records import Document


@dataclass
class _Routed(SpooledDocuments):
    """The documents of one shard, as `update_incoming` takes them.

    Attributes:
        files: the states of their files.
        left_out: numbers of the shard's documents whose files are as they were.
        moved_from: files that are gone and whose doc_ids went to other files, of all shards.
        skipped_files: files of which a document was skipped, of all shards.
    """

    files: FileStates = field(kw_only=True)
    left_out: Sequence[int] = ()
    moved_from: set[str] = field(default_factory=set)
    skipped_files: set[str] = field(default_factory=set)

    def leave_out_unchanged(self) -> Sequence[int]:
        """Return the documents that the reading has left out."""
        return self.left_out


def change_shards(
    documents: Iterable[Document],
    scope: CorpusScope | None,
    folder: Path,
    shards: Sequence[Path],
    encoder: Encoder,
    options: IngestOptions,
    policy: MergePolicy,
    location: str | None,
) -> IngestReport:
    """Add documents to their shards, or make the shards hold exactly these; each shard commits on its own.

    Args:
        documents: consumed once.
        scope: the files of which the shards hold exactly these documents; None: add them.
        folder: of the index, which is locked.
        shards: the folders of the shards.
        encoder: of the documents.
        options: how they are added.
        policy: the merge policy of the shards.
        location: the new place of the encoder; None: as stored.

    Raises:
        CorpusError, LockedError, IndexFolderError: as in `Index.add`.
    """
    with ExitStack() as stack:
        transactions = [stack.enter_context(Transaction(shard, policy=policy)) for shard in shards]
        reports: list[IngestReport] = []
        for txn, routed in _route(folder, documents, transactions, options, reports, streams_are_new=scope is None):
            report = IngestReport()
            spec = stored_spec(txn)
            if scope is None:
                ingest_incoming(routed, report, txn, encoder, spec, options, routed.files)
            else:
                update_incoming(routed, report, scope, txn, encoder, spec, options)
            reports.append(_commit(txn, report, location))
    return join_reports([report_values(report) for report in reports])


def delete_from_shards(folder: Path, shards: Sequence[Path], doc_ids: Sequence[str], policy: MergePolicy) -> None:
    """Delete documents; if one is not stored, none is deleted.

    Raises:
        QueryError: a doc_id is not in the index.
        LockedError, IndexFolderError: as in `Index.delete`.
    """
    wanted: dict[int, list[str]] = {}
    for doc_id in doc_ids:
        wanted.setdefault(choose_shard(doc_id, len(shards)), []).append(doc_id)
    with ExitStack() as stack:
        stored: dict[str, int] = {}
        transactions: dict[int, Transaction] = {}
        for number, own in sorted(wanted.items()):
            txn = stack.enter_context(Transaction(shards[number], policy=policy))
            transactions[number] = txn
            stored |= txn.catalog.doc_numbers(own)
        require_stored(folder, doc_ids, stored)
        for number, txn in transactions.items():
            remove_documents(txn, [stored[doc_id] for doc_id in wanted[number]])


def _route(
    folder: Path,
    documents: Iterable[Document],
    transactions: Sequence[Transaction],
    options: IngestOptions,
    reports: list[IngestReport],
    *,
    streams_are_new: bool,
) -> Iterator[tuple[Transaction, _Routed]]:
    """Yield the transaction of each shard with its documents; add a report of what was skipped while they were read."""
    corpus = documents if isinstance(documents, CorpusReader) else None
    reading = IngestReport()
    reports.append(reading)
    left_out: list[list[int]] = [[] for _ in transactions]
    if not streams_are_new:
        left_out = [FileStates(documents, txn.catalog).leave_out_unchanged() for txn in transactions]
    everything = AllShards(transactions)
    incoming = IncomingDocuments(
        documents, everything, reading.skipped, on_error=options.on_error, streams_are_new=streams_are_new
    )
    spool = folder / SPOOL
    try:
        spooled = write_spool(spool, incoming, len(transactions), corpus.sources if corpus else {})
        for txn, shard, unchanged in zip(transactions, spooled, left_out, strict=True):
            sources: dict[str, Source] = {}
            files = FileStates.of_sources(
                sources, corpus.reading if corpus else "", corpus.started_ns if corpus else 0, txn.catalog
            )
            yield (
                txn,
                _Routed(
                    shard.path,
                    shard.n_documents,
                    sources,
                    files=files,
                    left_out=unchanged,
                    moved_from=incoming.moved_from,
                    skipped_files=incoming.skipped_files,
                ),
            )
    finally:
        remove_spool(spool)


def _commit(txn: Transaction, report: IngestReport, location: str | None) -> IngestReport:
    """Commit a shard if something has changed."""
    if location is not None:
        txn.set_meta(encoder=location)
    changes = (report.n_documents, report.n_deleted, report.n_relocated, report.n_files)
    if any(changes) or location is not None:
        txn.commit()
    return report
