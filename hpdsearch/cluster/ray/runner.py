"""Runs the jobs of a sharded build on a Ray cluster: a pool of actors encodes, a task each writes the shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpdsearch.cluster.ray.encoding import BlockJob, encode_blocks, name_block
from hpdsearch.common.progress import Bar, SilentBar
from hpdsearch.encoder import Device
from hpdsearch.errors import ClusterError, HpdsearchError
from hpdsearch.index.shards.jobs import BuildJob, Job, describe_job, read_job
from hpdsearch.index.shards.spool import SpooledShard
from hpdsearch.index.shards.worker import PhaseProgress, make_error
from hpdsearch.indexer.ingest import BLOCK_DOCUMENTS, IngestReport
from hpdsearch.indexer.prepared import count_prepared

TASK_RETRIES = 3  # of a job whose node was lost; it commits its shard or leaves nothing


@dataclass(frozen=True)
class RayRunner:
    """Runs jobs on the cluster that this process is connected to. All nodes see the folder of the index.

    Attributes:
        n_actors: actors that encode, at most; 0: one for each core of the cluster.
        n_cores: cores of each.
        block_documents: most documents of a block that is encoded.
    """

    n_actors: int = 0
    n_cores: int = 1
    block_documents: int = BLOCK_DOCUMENTS

    def prepare(
        self, folder: Path, jobs: Sequence[BuildJob], shards: Sequence[SpooledShard], bar: Bar, report: IngestReport
    ) -> list[BuildJob]:
        """Encode the blocks that have no file yet."""
        folder.mkdir(exist_ok=True)
        present = {path.name for path in folder.iterdir()}
        wanted: list[BlockJob] = []
        prepared = []
        for job, shard in zip(jobs, shards, strict=True):
            if job.is_done():
                bar.update(shard.n_documents)
                prepared.append(job)
                continue
            files = []
            for block in shard.blocks:
                path = (folder / name_block(block, job.encoder)).absolute()
                files.append((str(path), block.n_documents))
                if path.name in present:
                    report.n_resumed += count_prepared(path)
                    bar.update(block.n_documents)
                else:
                    documents = str(shard.path.absolute())
                    wanted.append(BlockJob(documents, block.start, block.end, block.n_documents, str(path)))
            encoder = replace(job.encoder, device=Device.CPU.value)  # the task that writes the shard encodes nothing
            prepared.append(replace(job, prepared=files, encoder=encoder))
        if wanted:
            for one in encode_blocks(wanted, jobs[0].encoder, self._count_actors(len(wanted)), self.n_cores):
                report.encode_seconds += one.seconds
                bar.update(one.n_documents)
        return prepared

    def run(self, jobs: Sequence[Job], bar: Bar | None = None) -> list[dict[str, Any]]:
        """Run each job as a task. The first error ends the others."""
        import ray

        task = ray.remote(num_cpus=1, max_retries=TASK_RETRIES, scheduling_strategy="SPREAD")(run_job)
        pending = [task.remote(describe_job(job)) for job in jobs]
        numbers = {ref: number for number, ref in enumerate(pending)}
        results: dict[int, dict[str, Any]] = {}
        try:
            while pending:
                (ready,), pending = ray.wait(pending)
                result = ray.get(ready)
                if "error" in result:
                    raise make_error(result["error"], result["message"])
                results[numbers[ready]] = result["result"]
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"a task that writes a shard was lost {TASK_RETRIES + 1} times ({type(error).__name__}); if a node "
                "lacked memory, use more --shards; the same command goes on with what is encoded"
            ) from error
        finally:
            for ref in pending:
                ray.cancel(ref, force=True)
        return [results[number] for number in range(len(jobs))]

    def count_workers(self, n_jobs: int) -> int:
        """Return the largest number of actors that encode."""
        return self._count_actors(n_jobs)

    def _count_actors(self, n_jobs: int) -> int:
        import ray

        cores = int(ray.cluster_resources().get("CPU", 1))
        return max(1, min(self.n_actors or cores // self.n_cores, n_jobs))


def run_job(values: dict[str, Any]) -> dict[str, Any]:
    """Run a job in a task; an error of hpdsearch is a result too."""
    try:
        return {"result": read_job(values).run(PhaseProgress(SilentBar().update))}
    except HpdsearchError as error:
        return {"error": type(error).__name__, "message": str(error)}
