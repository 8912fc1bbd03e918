"""Build an index in shards: the corpus is read once, processes build the shards, cluster.json makes them one index.

Stopped at any moment, the same call goes on: it reads the corpus again, leaves committed shards of the same documents
and settings as they are, and encodes no block again that a process had encoded.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hpdsearch.catalog import CLUSTER_FILE, FILE_NAME, Catalog
from hpdsearch.common.files import PARTIAL
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.corpus import OnError
from hpdsearch.dense import Codec, IndexSpec, IndexType, TrainedCodes, train_codes
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError, IndexFolderError, ShapeError
from hpdsearch.index.shards.cluster_file import (
    MAX_SHARDS,
    SHARD_NAME,
    ClusterFile,
    is_sharded,
    name_shards,
    read_cluster,
)
from hpdsearch.index.shards.jobs import BuildJob, CodesJob, EncoderChoice, join_reports, read_settings, report_values
from hpdsearch.index.shards.reading import Corpus, DividesItself, Reading, read_documents
from hpdsearch.index.shards.running import JobRunner, LocalRunner
from hpdsearch.index.shards.spool import SPOOL, remove_spool
from hpdsearch.indexer.ingest import IngestReport
from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY, MergePolicy
from hpdsearch.indexer.transaction import LOCK_NAME, REFINE_LOCK, lock_folder
from hpdsearch.search.segment_files import open_vectors

BLOCKS = "blocks"  # folder of encoded blocks, until the build ends
CODES = "codes.faiss"  # the trained codes without rows, while the shards get theirs
# Of shards until the codes of all are trained: they need no training.
PLAIN_CODES = IndexSpec(IndexType.FLAT, Codec.F32)


@dataclass(frozen=True)
class ShardedBuild:
    """How an index in shards is built.

    Attributes:
        n_shards: number of shards, 1..MAX_SHARDS.
        n_processes: processes that build them; 0: one a core.
        spec: index of the vectors of all shards together.
        strict: as in `Index.build`.
        on_error: as in `Index.build`.
        draft: as in `Index.build`.
        languages: of the documents; none: those of the first block of documents.
        policy: the merge policy of the shards.
        progress: shows a bar for each phase.
    """

    n_shards: int
    n_processes: int = 0
    spec: IndexSpec = field(default_factory=IndexSpec)
    strict: bool = False
    on_error: OnError = OnError.STOP
    draft: bool = False
    languages: Sequence[str] = ()
    policy: MergePolicy = DEFAULT_MERGE_POLICY
    progress: Progress = SILENT

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ShapeError: a number is outside of its range.
        """
        if not 1 <= self.n_shards <= MAX_SHARDS:
            raise ShapeError(f"shards: expected 1..{MAX_SHARDS}, got {self.n_shards}")
        if self.n_processes < 0:
            raise ShapeError(f"processes: expected at least 1, got {self.n_processes}")


def build_shards(
    folder: Path,
    documents: Corpus,
    encoder: Encoder,
    build: ShardedBuild,
    *,
    overwrite: bool,
    wait: float,
    runner: JobRunner | None = None,
) -> IngestReport:
    """Build the shards of an index and commit them as one.

    Args:
        folder: a new folder, an empty one, one of an unfinished build, or an index in shards.
        documents: consumed once.
        encoder: of the documents; processes load it by its location.
        build: how they are built.
        overwrite: replace an index in shards, which can be searched until the new one is committed.
        wait: seconds to wait for another writer.
        runner: runs the jobs; None: `build.n_processes` processes.

    Raises:
        CorpusError, IndexFolderError, EncoderError, LockedError: as in `Index.build`.
    """
    start = time.perf_counter()
    runner = runner or LocalRunner(build.n_processes)
    before = _prepare_folder(folder, overwrite)
    lock = lock_folder(folder, wait)
    try:
        reading = _read(folder / SPOOL, documents, build, runner.block_documents)
        number = before.number + 1 if before else 1
        names = name_shards(build.n_shards, number)
        jobs = _make_jobs(folder, names, reading, encoder, build)
        bar = build.progress.phase("encoding", total=reading.n_documents, unit="doc")
        own = IngestReport(skipped=reading.skipped)
        with closing(bar):
            jobs = runner.prepare(folder / BLOCKS, jobs, reading.shards, bar, own)
            reports = runner.run(jobs, bar)
        report = join_reports([*reports, report_values(own)])
        if not sum(_count_documents(Path(job.folder)) for job in jobs):
            got = f"none ({report.n_empty} empty ones, {report.skipped.count} skipped ones)"
            raise CorpusError(f"expected at least one document with text, got {got}")
        folders = [Path(job.folder) for job in jobs]
        share_codes(folder, folders, build.spec, runner, build.progress)
        spec = build.spec.as_dict()
        ClusterFile(number, names, encoder.space, encoder.dim, tuple(reading.languages), spec).write(folder)
        remove_leftovers(folder, names)
    except BaseException:
        _remove_if_empty(folder)
        raise
    finally:
        lock.release()
    report.n_duplicates = reading.n_duplicates
    report.seconds = time.perf_counter() - start
    report.encode_seconds /= runner.count_workers(build.n_shards)
    return report


def _read(spool: Path, documents: Corpus, build: ShardedBuild, block_documents: int) -> Reading:
    """Read the documents once and divide them, here or wherever they divide themselves."""
    if isinstance(documents, DividesItself):
        return documents.divide(spool, build.n_shards, build.languages, block_documents)
    bar = build.progress.phase("reading", total=None, unit="doc")
    with closing(bar):
        return read_documents(
            spool,
            documents,
            build.n_shards,
            strict=build.strict,
            on_error=build.on_error,
            languages=build.languages,
            block_documents=block_documents,
            bar=bar,
        )


def _make_jobs(
    folder: Path, names: Sequence[str], reading: Reading, encoder: Encoder, build: ShardedBuild
) -> list[BuildJob]:
    """Return the jobs that build the shards."""
    choice = EncoderChoice.of(encoder)
    spec = (build.spec if needs_no_training(build.spec) else PLAIN_CODES).as_dict()
    settings = [build.n_shards, choice.sha256, choice.dim, choice.backend, build.spec.as_dict(), reading.languages]
    settings += [build.strict, build.on_error.value, build.draft]
    jobs = []
    for number, (name, shard) in enumerate(zip(names, reading.shards, strict=True)):
        made_of = hashlib.sha256(json.dumps([number, shard.digest, *settings]).encode()).hexdigest()
        jobs.append(
            BuildJob(
                folder=str((folder / name).absolute()),
                number=number,
                documents=str(shard.path.absolute()),
                n_documents=shard.n_documents,
                made_of=made_of,
                encoder=choice,
                spec=spec,
                languages=list(reading.languages),
                strict=build.strict,
                skips=build.on_error is OnError.SKIP,
                draft=build.draft,
                n_streams=reading.n_streams,
                reading=reading.reading,
                started_ns=reading.started_ns,
                policy=asdict(build.policy),
            )
        )
    return jobs


def share_codes(
    folder: Path,
    shards: Sequence[Path],
    spec: IndexSpec,
    runner: JobRunner,
    progress: Progress = SILENT,
    *,
    again: bool = False,
) -> None:
    """Give all shards codes of the same centroids and codebooks, trained on a sample of all vectors.

    Args:
        folder: the folder of the index.
        shards: the folders of its shards.
        spec: index of the vectors of all shards together; a memory budget is divided among them.
        runner: runs the jobs that build the codes.
        progress: shows a bar.
        again: also of shards that have codes of this spec.

    Raises:
        ShapeError: the spec does not fit the vectors.
    """
    own_spec = replace(spec, memory=spec.memory // len(shards)).as_dict()
    if not again and all((read_settings(shard) or {}).get("spec") == own_spec for shard in shards):
        return
    trained = None if needs_no_training(spec) else _train(folder, shards, spec, progress)
    try:
        jobs = [
            CodesJob(
                folder=str(shard),
                spec=own_spec,
                trained_spec={} if trained is None else trained.spec.as_dict(),
                trained="" if trained is None else str(trained.path.absolute()),
            )
            for shard in shards
        ]
        bar = progress.phase("indexing", total=None, unit="shard")
        with closing(bar):
            runner.run(jobs)
            bar.update(len(jobs))
    finally:
        (folder / CODES).unlink(missing_ok=True)


def _train(folder: Path, shards: Sequence[Path], spec: IndexSpec, progress: Progress) -> TrainedCodes | None:
    """Train codes on the vectors of all segments; None: there is none, because all vectors are deleted."""
    files = []
    for shard in shards:
        with closing(Catalog.open(shard)) as catalog:
            dim = catalog.meta()["dim"]
            files += [open_vectors(shard, entry, dim) for entry in catalog.segments()]
    return train_codes(files, spec, folder / CODES, progress=progress) if files else None


def needs_no_training(spec: IndexSpec) -> bool:
    """Tell whether codes of a spec hold the vectors as they are, so that shards share them anyway."""
    return spec.kind is IndexType.FLAT and spec.codec is Codec.F32


def _count_documents(shard: Path) -> int:
    with closing(Catalog.open(shard)) as catalog:
        return catalog.n_documents()


def _prepare_folder(folder: Path, overwrite: bool) -> ClusterFile | None:
    """Make the folder, or check what it holds; return the index in shards that it holds."""
    if (folder / FILE_NAME).exists():
        raise IndexFolderError(f"{folder}: this folder holds an index without shards; choose another folder")
    if is_sharded(folder):
        if not overwrite:
            raise IndexFolderError(
                f"{folder}: this folder holds an index already; replace it with --overwrite, or change it with "
                "--update or hpdsearch add"
            )
        return read_cluster(folder)
    others = [path.name for path in sorted(folder.iterdir()) if not _is_own(path)] if folder.is_dir() else []
    if others:
        raise IndexFolderError(f"{folder}: this folder holds other files ({others[0]} ...); choose a folder of its own")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexFolderError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    return None


def _is_own(path: Path) -> bool:
    names = (LOCK_NAME, REFINE_LOCK, SPOOL, BLOCKS, CODES, CLUSTER_FILE)
    return path.name.removesuffix(PARTIAL) in names or SHARD_NAME.fullmatch(path.name) is not None


def remove_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Remove what a build has left in the folder of an index, and shards of earlier builds."""
    remove_spool(folder / SPOOL)
    shutil.rmtree(folder / BLOCKS, ignore_errors=True)
    for path in folder.iterdir():
        if SHARD_NAME.fullmatch(path.name) and path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    """Remove the spool of a build that ended by an error, and the folder if the build has left nothing else in it."""
    remove_spool(folder / SPOOL)
    if all(path.name in (LOCK_NAME, REFINE_LOCK) for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
