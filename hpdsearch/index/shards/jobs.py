"""The jobs on one shard: build it, give it the codes that all shards share, refine it.

A job is JSON values, so that any process can run it. Each job commits its shard or leaves it at its last commit.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpdsearch.catalog import SHARD_STEP, Catalog
from hpdsearch.common.progress import Progress
from hpdsearch.corpus.skipping import OnError
from hpdsearch.dense import IndexSpec, TrainedCodes
from hpdsearch.encoder import Backend, Device, Encoder
from hpdsearch.errors import EncoderError, IndexFolderError
from hpdsearch.index.encoders import BACKEND, find_draft_encoder
from hpdsearch.index.shards.spool import SpooledDocuments
from hpdsearch.indexer.file_states import FileStates
from hpdsearch.indexer.incoming import N_STREAMS
from hpdsearch.indexer.ingest import IngestOptions, IngestReport, ingest_incoming
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.indexer.merging import rebuild_index
from hpdsearch.indexer.transaction import Transaction

ORPHAN_WAIT = 60  # seconds; a process whose parent was killed ends soon and releases its shard
SHARD = "shard"  # setting of a shard: what it was built of


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder of the documents, as every process loads it.

    Attributes:
        location: name or folder.
        sha256: its checksum.
        dim: dimensions to keep.
        backend: the backend that runs it, so that all shards have vectors of the same one.
        device: the device.
    """

    location: str
    sha256: str
    dim: int
    backend: str
    device: str

    @classmethod
    def of(cls, encoder: Encoder) -> "EncoderChoice":
        """Return the choice that a loaded encoder is."""
        return cls(encoder.location, encoder.sha256, encoder.dim, encoder.backend, encoder.device)

    def load(self) -> Encoder:
        """Load the encoder.

        Raises:
            EncoderError: it cannot be loaded, or is another one now.
        """
        return _load(self)


@lru_cache(maxsize=1)  # a process runs one job after the other
def _load(choice: EncoderChoice) -> Encoder:
    is_backend = choice.backend in {each.value for each in Backend}
    backend = Backend(choice.backend) if is_backend else Backend.AUTO
    device = choice.device if choice.device in {each.value for each in Device} else Device.AUTO
    encoder = Encoder.load(choice.location, dim=choice.dim, backend=backend, device=device)
    if encoder.sha256 != choice.sha256:
        raise EncoderError(f"{choice.location}: was replaced while the index was built; run the command again")
    return encoder


@dataclass(frozen=True)
class BuildJob:
    """Builds one shard of spooled documents.

    Attributes:
        folder: of the shard.
        number: of the shard.
        documents: the file of its documents.
        n_documents: their number.
        made_of: identifies the documents and the settings; a shard that was committed with it is not built again.
        encoder: of the documents.
        spec: of the codes, by the keys of `IndexSpec.as_dict`.
        languages: of the documents of all shards.
        strict: as in `Index.build`.
        skips: whether errors in documents are skipped.
        draft: as in `Index.build`.
        n_streams: streams whose documents the index holds.
        reading: as `CorpusReader.reading`.
        started_ns: as `CorpusReader.started_ns`.
        policy: fields of the merge policy.
        prepared: the file and the number of documents of each encoded block; none: this job encodes the documents.
    """

    folder: str
    number: int
    documents: str
    n_documents: int
    made_of: str
    encoder: EncoderChoice
    spec: dict[str, Any]
    languages: list[str]
    strict: bool = False
    skips: bool = False
    draft: bool = False
    n_streams: int = 0
    reading: str = ""
    started_ns: int = 0
    policy: dict[str, int] = field(default_factory=lambda: asdict(MergePolicy()))
    prepared: list[tuple[str, int]] = field(default_factory=list)

    def is_done(self) -> bool:
        """Return whether the shard is committed."""
        settings = read_settings(Path(self.folder))
        return settings is not None and settings.get(SHARD) == self.made_of

    def run(self, progress: Progress) -> dict[str, Any]:
        """Build the shard unless it is built; return the report as JSON values."""
        folder = Path(self.folder)
        if self.is_done():
            return report_values(_count_stored(folder))
        encoder = self.encoder.load()
        documents = SpooledDocuments(Path(self.documents), self.n_documents, {}, self.prepared, encoder.space)
        policy = MergePolicy(**self.policy)
        first_row = self.number * SHARD_STEP
        with Transaction(
            folder, create=True, overwrite=True, wait=ORPHAN_WAIT, policy=policy, first_row=first_row
        ) as txn:
            txn.set_meta(encoder=encoder.location, encoder_hash=encoder.sha256, space=encoder.space, dim=encoder.dim)
            txn.set_meta(spec=self.spec, **{BACKEND: encoder.backend, SHARD: self.made_of})
            if self.n_streams:
                txn.set_meta(**{N_STREAMS: self.n_streams})
            txn.set_languages(self.languages)
            fast = find_draft_encoder(encoder) if self.draft else None
            on_error = OnError.SKIP if self.skips else OnError.STOP
            options = IngestOptions(self.strict, on_error, progress, fast)
            report = IngestReport()
            files = FileStates.of_sources(documents.sources, self.reading, self.started_ns, txn.catalog)
            spec = IndexSpec.from_dict(self.spec)
            ingest_incoming(documents, report, txn, encoder, spec, options, files)
            txn.commit()
        return report_values(report)


@dataclass(frozen=True)
class CodesJob:
    """Builds the codes of one shard again, with the centroids and codebooks of all shards.

    Attributes:
        folder: of the shard.
        spec: that the shard keeps, by the keys of `IndexSpec.as_dict`.
        trained_spec: the resolved spec of the trained codes.
        trained: the file of the trained codes; "": the shard trains its own.
    """

    folder: str
    spec: dict[str, Any]
    trained_spec: dict[str, Any]
    trained: str

    def run(self, progress: Progress) -> dict[str, Any]:
        """Build the codes and commit them."""
        trained = None
        if self.trained:
            trained = TrainedCodes(IndexSpec.from_dict(self.trained_spec), Path(self.trained))
        spec = IndexSpec.from_dict(self.spec)
        with Transaction(Path(self.folder), wait=ORPHAN_WAIT) as txn:
            txn.set_meta(spec=self.spec)
            for entry in txn.catalog.segments():
                rebuild_index(txn, entry, spec, progress, trained)
            txn.commit()
        return {}


@dataclass(frozen=True)
class RefineJob:
    """Refines the draft of one shard.

    Attributes:
        folder: of the shard.
        encoder: of the documents.
    """

    folder: str
    encoder: EncoderChoice

    def run(self, progress: Progress) -> dict[str, Any]:
        """Refine the shard; return the number of passages that were encoded."""
        from hpdsearch.index.index import Index

        with Index.open(self.folder, document_encoder=self.encoder.load()) as shard:
            return {"n_encoded": shard.refine(progress=progress)}


Job = BuildJob | CodesJob | RefineJob
JOBS: dict[str, type[BuildJob] | type[CodesJob] | type[RefineJob]] = {
    "build": BuildJob,
    "codes": CodesJob,
    "refine": RefineJob,
}


def describe_job(job: Job) -> dict[str, Any]:
    """Return a job as JSON values."""
    name = next(name for name, kind in JOBS.items() if isinstance(job, kind))
    return {"job": name, **asdict(job)}


def read_job(values: Mapping[str, Any]) -> Job:
    """Return the job that `describe_job` described."""
    fields = {name: value for name, value in values.items() if name != "job"}
    if "encoder" in fields:
        fields["encoder"] = EncoderChoice(**fields["encoder"])
    return JOBS[values["job"]](**fields)


def read_settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a committed shard; None: nothing is committed in the folder."""
    try:
        catalog = Catalog.open(folder)
    except IndexFolderError:
        return None
    with closing(catalog):
        return catalog.meta()


def _count_stored(folder: Path) -> IngestReport:
    """Return the report of a shard that an earlier run has built."""
    with closing(Catalog.open(folder)) as catalog:
        n_passages = catalog.n_passages()
        return IngestReport(n_documents=catalog.n_documents(), n_passages=n_passages, n_resumed=n_passages)


def report_values(report: IngestReport) -> dict[str, Any]:
    """Return a report as JSON values."""
    return asdict(report)


def join_reports(reports: list[dict[str, Any]]) -> IngestReport:
    """Return the report of all shards from the JSON values of theirs; seconds are added up."""
    joined = IngestReport()
    for values in reports:
        for name, value in values.items():
            if name == "skipped":
                joined.skipped.count += value["count"]
                joined.skipped.reasons += value["reasons"]
            else:
                setattr(joined, name, getattr(joined, name) + value)
    return joined
