"""Extract files in a worker process, which is used for many files and started again after a failure."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from hpdsearch.corpus.extraction.limits import Extraction, ExtractionLimits
from hpdsearch.errors import CorpusError, require_extra

PACKAGES = {".pdf": "pypdfium2", ".docx": "docx", ".pptx": "pptx", ".xlsx": "openpyxl", ".odt": "lxml", ".epub": "lxml"}
MANY_MESSAGES = ".mbox"
PACKAGE_ROOT = Path(__file__).parents[3]  # the worker runs the same hpdsearch, whatever its working directory is


def require_documents_extra(ending: str) -> None:
    """Check that the library of a format is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if ending in PACKAGES:
        require_extra(PACKAGES[ending], extra="documents", feature="documents")


class _WorkerFailed(Exception):  # noqa: N818  (it never leaves this module)
    """The worker ended or did not answer; the message is the end of a sentence."""


class Extractor:
    """Extracts documents in a process of its own; leaving the `with` block ends the process."""

    def __init__(self, limits: ExtractionLimits) -> None:
        """Nothing is started before the first file."""
        self.limits = limits
        self._worker: subprocess.Popen[bytes] | None = None
        self._n_files = 0  # that the worker has read

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        worker = self._worker
        self._worker = None
        self._n_files = 0
        if worker is None:
            return
        worker.kill()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                with suppress(OSError):  # a request that the worker did not read
                    stream.close()
        worker.wait()

    def extract(self, path: Path, name: str, ending: str) -> Iterator[Extraction]:
        """Yield the documents of a file.

        Args:
            path: the file.
            name: the file in messages.
            ending: of the file's name, in lower case.

        Raises:
            CorpusError: the file cannot be read, or exceeds a limit.
        """
        size = path.stat().st_size
        if size > self.limits.file_bytes and ending != MANY_MESSAGES:
            raise CorpusError(f"{name}: expected a file of at most {self.limits.file_bytes:,} bytes, got {size:,}")
        n_documents = 0
        while True:
            was_used = self._n_files > 0
            try:
                for answer in self._ask(path, ending):
                    if "error" in answer:
                        raise CorpusError(f"{name}: {answer['error']}")
                    locations = [(start, label) for start, label in answer["locations"]]
                    n_documents += 1
                    yield Extraction(answer["title"], answer["text"], locations, answer["metadata"], answer["problem"])
            except _WorkerFailed as failure:
                self.close()
                if was_used and n_documents == 0 and not isinstance(failure.__cause__, TimeoutError):
                    continue  # the files before may have left too little memory
                raise CorpusError(
                    f"{name}: expected a file that can be read within the limits, got {failure}"
                ) from None
            except GeneratorExit:
                self.close()  # the other answers are not wanted
                raise
            return

    def _ask(self, path: Path, ending: str) -> Iterator[dict[str, Any]]:
        """Yield the answers of the worker but the last one, or the one answer that is an error."""
        worker = self._start()
        self._n_files += 1
        assert worker.stdin is not None
        request = json.dumps({"path": os.path.abspath(path), "ending": ending})  # noqa: PTH100  (links stay)
        try:
            worker.stdin.write(request.encode() + b"\n")
            worker.stdin.flush()
        except OSError:
            raise _WorkerFailed("a worker that ended") from None
        while True:
            answer = json.loads(self._read_line(worker))
            if "end" in answer:
                return
            if "exhausted" in answer:
                raise _WorkerFailed(f"one that needs more memory than {self.limits.memory_bytes / 2**20:,.0f} MiB")
            yield answer
            if "error" in answer:
                return

    def _start(self) -> "subprocess.Popen[bytes]":
        """Return the worker; start one if there is none."""
        if self._worker is None:
            paths = [str(PACKAGE_ROOT), *(path for path in sys.path if path)]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
            command = [sys.executable, "-m", "hpdsearch.corpus.extraction.worker", json.dumps(asdict(self.limits))]
            self._worker = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._worker

    def _read_line(self, worker: "subprocess.Popen[bytes]") -> bytes:
        """Return the next line of the worker.

        Raises:
            _WorkerFailed: it ended, or did not write a line within the time.
        """
        assert worker.stdout is not None
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            worker.kill()

        timer = threading.Timer(self.limits.seconds, stop)  # pipes have no timeout on all systems
        timer.start()
        try:
            line = worker.stdout.readline()
        finally:
            timer.cancel()
        if is_late.is_set():
            raise _WorkerFailed(f"one that takes longer than {self.limits.seconds:g} s") from TimeoutError()
        if not line.endswith(b"\n"):
            raise _WorkerFailed("one at which the reader crashed")
        return line
