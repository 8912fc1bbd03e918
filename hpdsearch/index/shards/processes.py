"""Run jobs in processes of their own, each with its share of the cores; the first error ends all of them."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hpdsearch.common.progress import Bar, SilentBar
from hpdsearch.encoder.threads import THREADS, usable_cores
from hpdsearch.errors import IndexFolderError
from hpdsearch.index.shards.jobs import Job, describe_job
from hpdsearch.index.shards.worker import PhaseProgress, make_error

PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", THREADS)
Message = tuple[int, dict[str, Any] | None]  # number of the worker and its line; None: it has ended


def count_processes(wanted: int, n_jobs: int) -> int:
    """Return the number of processes: as wanted, or one a core if it is 0; never more than there are jobs."""
    return max(1, min(wanted or usable_cores(), n_jobs))


def run_jobs(jobs: Sequence[Job], n_processes: int, bar: Bar | None = None) -> list[dict[str, Any]]:
    """Run jobs in processes and return their results, in the order of the jobs; a single process is this one.

    Args:
        jobs: a process takes one after the other.
        n_processes: processes; each may use an equal share of the cores.
        bar: advances with the work of all jobs.

    Raises:
        HpdsearchError: the error of the first job that failed; the other processes were ended.
        IndexFolderError: a process was killed.
    """
    n_processes = count_processes(n_processes, len(jobs))
    if n_processes == 1:
        return [job.run(PhaseProgress((bar or SilentBar()).update)) for job in jobs]
    run = _Run(jobs, n_processes, bar or SilentBar())
    try:
        return run.results()
    finally:
        run.end()


class _Run:
    """The processes of one call of `run_jobs`."""

    def __init__(self, jobs: Sequence[Job], n_processes: int, bar: Bar) -> None:
        self._jobs = jobs
        self._bar = bar
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._pending = list(enumerate(jobs))[::-1]
        self._current: dict[int, int] = {}  # number of the job by that of the worker
        self._workers: list[subprocess.Popen[str]] = []
        try:
            for number in range(n_processes):
                self._workers.append(_start(number, n_processes, self._messages.put))
        except BaseException:
            self.end()
            raise

    def results(self) -> list[dict[str, Any]]:
        """Give out the jobs and collect their results."""
        results: dict[int, dict[str, Any]] = {}
        for number in range(len(self._workers)):
            self._give(number)
        while len(results) < len(self._jobs):
            number, message = self._messages.get()
            if message is None:
                if number in self._current:
                    raise self._killed(number)
            elif "progress" in message:
                self._bar.update(message["progress"])
            elif "error" in message:
                raise make_error(message["error"], message["message"])
            else:
                results[self._current.pop(number)] = message["result"]
                self._give(number)
        return [results[job] for job in range(len(self._jobs))]

    def _give(self, number: int) -> None:
        """Give a worker its next job, if there is one."""
        if not self._pending:
            return
        job, described = self._pending.pop()
        self._current[number] = job
        stdin = self._workers[number].stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # its end is in the queue
            stdin.write(json.dumps(describe_job(described)) + "\n")
            stdin.flush()

    def _killed(self, number: int) -> IndexFolderError:
        job = self._jobs[self._current[number]]
        status = self._workers[number].wait()
        reason = f"signal {-status}" if status < 0 else f"exit code {status}"
        return IndexFolderError(
            f"{job.folder}: the process that wrote this shard was ended by {reason}; if it lacked memory, use fewer "
            "--processes; the same command goes on with what is encoded"
        )

    def end(self) -> None:
        """End all processes; what they have not committed is as if it had not been written."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            for stream in (worker.stdin, worker.stdout):
                with suppress(OSError):
                    if stream is not None:
                        stream.close()
            worker.wait()


def _start(number: int, n_processes: int, put: Callable[[Message], None]) -> "subprocess.Popen[str]":
    """Start a worker, and a thread that passes its lines on."""
    share = str(max(1, usable_cores() // n_processes))
    paths = [str(PACKAGE_ROOT), *(path for path in sys.path if path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **dict.fromkeys(_THREAD_VARIABLES, share)}
    worker = subprocess.Popen(
        [sys.executable, "-m", "hpdsearch.index.shards.worker"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )

    def read() -> None:
        assert worker.stdout is not None
        with suppress(ValueError, OSError):  # closed, or a line cut by a kill
            for line in worker.stdout:
                put((number, json.loads(line)))
        put((number, None))

    threading.Thread(target=read, daemon=True).start()
    return worker
