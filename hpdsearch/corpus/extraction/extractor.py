"""Extract files in a worker process, which is used for many files and started again after a failure."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from hpdsearch.corpus.extraction.limits import Extraction, ExtractionLimits
from hpdsearch.errors import CorpusError, require_extra

PACKAGES = {".pdf": "pypdfium2", ".docx": "docx", ".pptx": "pptx", ".xlsx": "openpyxl", ".odt": "lxml", ".epub": "lxml"}
MANY_MESSAGES = ".mbox"
BUFFER_BYTES = 1 << 16
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
        self._rest = b""  # of what was read from the worker

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
        self._rest = b""
        self._n_files = 0
        if worker is None:
            return
        worker.kill()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
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
                    yield Extraction(answer["title"], answer["text"], locations, answer["metadata"])
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
                bufsize=0,
            )
        return self._worker

    def _read_line(self, worker: "subprocess.Popen[bytes]") -> bytes:
        """Return the next line of the worker.

        Raises:
            _WorkerFailed: it ended, or did not write a line within the time.
        """
        assert worker.stdout is not None
        end = time.monotonic() + self.limits.seconds
        pieces = [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(worker.stdout, selectors.EVENT_READ)
            while b"\n" not in pieces[-1]:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise _WorkerFailed(f"one that takes longer than {self.limits.seconds:g} s") from TimeoutError()
                piece = os.read(worker.stdout.fileno(), BUFFER_BYTES)
                if not piece:
                    raise _WorkerFailed("one at which the reader crashed")
                pieces.append(piece)
        line, _, self._rest = b"".join(pieces).partition(b"\n")
        return line
