"""Where the jobs of a build run: in processes of this machine, or wherever another runner brings them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hpdsearch.common.progress import Bar
from hpdsearch.index.shards.jobs import BuildJob, Job
from hpdsearch.index.shards.processes import count_processes, run_jobs
from hpdsearch.index.shards.spool import SpooledShard
from hpdsearch.indexer.ingest import BLOCK_DOCUMENTS, IngestReport


class JobRunner(Protocol):
    """Runs the jobs of a build.

    Attributes:
        block_documents: most documents of a block that `prepare` encodes.
    """

    @property
    def block_documents(self) -> int:
        """Most documents of a block that `prepare` encodes."""

    def prepare(
        self, folder: Path, jobs: Sequence[BuildJob], shards: Sequence[SpooledShard], bar: Bar, report: IngestReport
    ) -> list[BuildJob]:
        """Encode the documents of these jobs ahead, durably, and return the jobs that use it.

        Args:
            folder: for the encoded blocks.
            jobs: one a shard.
            shards: their documents.
            bar: counts documents.
            report: counts the passages that were not encoded again, and the seconds of encoding.
        """

    def run(self, jobs: Sequence[Job], bar: Bar | None = None) -> list[dict[str, Any]]:
        """Run jobs and return their results, in the order of the jobs.

        Raises:
            HpdsearchError: the error of the first job that failed.
        """

    def count_workers(self, n_jobs: int) -> int:
        """Return how many jobs run at the same time."""


@dataclass(frozen=True)
class LocalRunner:
    """Runs jobs in processes of this machine; they encode their documents themselves.

    Attributes:
        n_processes: processes, 0: one a core.
    """

    n_processes: int = 0
    block_documents: int = BLOCK_DOCUMENTS

    def prepare(
        self, folder: Path, jobs: Sequence[BuildJob], shards: Sequence[SpooledShard], bar: Bar, report: IngestReport
    ) -> list[BuildJob]:
        """Return the jobs as they are."""
        return list(jobs)

    def run(self, jobs: Sequence[Job], bar: Bar | None = None) -> list[dict[str, Any]]:
        """Run jobs and return their results."""
        return run_jobs(jobs, self.n_processes, bar)

    def count_workers(self, n_jobs: int) -> int:
        """Return the number of processes."""
        return count_processes(self.n_processes, n_jobs)
