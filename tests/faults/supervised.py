"""A writer whose every change of the disk is counted, and at a chosen one killed or told that it failed."""

import errno
import os
import shutil
import signal
import sys
import threading
from multiprocessing.reduction import recv_handle
from pathlib import Path

import disk
import states
import writer_process
from processes import PATIENCE, Processes

from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError
from hpdsearch.index import Index

# The number of each kind of operation: adding to a small index, to compact and to tune a larger one.
OPERATIONS = {
    states.BUILD: 0,
    states.ADD: 1,
    states.DELETE: 2,
    states.OVERWRITE: 8,
    states.COMPACT: 11,
    states.TUNE: 13,
}
assert all(states.operation(number) == name for name, number in OPERATIONS.items())
OPERATIONS["add that merges"] = states.GROWTH + 1
GROWING = {
    "write",
    "pwrite",
    "writev",
    "pwritev",
    "pwritev2",
    "fallocate",
    "ftruncate",
    "open",
    "openat",
    "mkdir",
    "fsync",
    "fdatasync",
}
DIED = ("died", "")
IN_FORCE = "the change is committed"


class Fault:
    """A verdict: the call number `at` fails, or all from then on; on a full disk only if it needs room.

    With `kill`, the process of that number dies at this call. After it: calls, the (name, file) of each.
    """

    def __init__(self, at: int = 0, error: int = errno.EIO, *, lasting: bool = False, kill: int = 0) -> None:
        self.at, self.error, self.lasting, self.kill = at or sys.maxsize, error, lasting, kill
        self.calls: list[tuple[str, str]] = []

    def __call__(self, name: str, path: Path) -> int:
        self.calls.append((name, path.name))
        if len(self.calls) == self.at and self.kill:
            os.kill(self.kill, signal.SIGKILL)
        if self.error == errno.ENOSPC and (name not in GROWING or (name.startswith("open") and path.exists())):
            return 0
        return self.error if len(self.calls) == self.at or (self.lasting and len(self.calls) > self.at) else 0


class Writer:
    """A process that performs operations under supervision."""

    def __init__(self, processes: Processes, encoder_folder: Path) -> None:
        self.process, self._pipe = processes.start(writer_process.obey, encoder_folder)
        assert self._pipe.poll(PATIENCE)
        self._listener = recv_handle(self._pipe)
        self._folder, self._fault = Path("/nowhere"), Fault()
        self._supervisor = threading.Thread(target=disk.supervise, args=(self._listener, self._verdict), daemon=True)
        self._supervisor.start()

    def _verdict(self, name: str, path: Path) -> int:
        return self._fault(name, path) if path.is_relative_to(self._folder) else 0

    def perform(self, number: int, folder: Path, fault: Fault) -> tuple[str, str]:
        """Let it perform an operation; return (outcome, message)."""
        self._folder, self._fault = folder, fault
        self._pipe.send((number, folder))
        try:
            assert self._pipe.poll(PATIENCE), f"no answer after {len(fault.calls)} calls"
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            return DIED
        finally:
            self._fault = Fault()

    def close(self) -> None:
        self.process.kill()
        self.process.join(PATIENCE)
        self._supervisor.join(PATIENCE)
        os.close(self._listener)


class Case:
    """An operation and the folder that it begins with."""

    def __init__(self, name: str, place: Path, encoder: Encoder) -> None:
        self.name, self.encoder = name, encoder
        self.base, self.folder = place / f"before {name}", place / name
        self._n_begun = 0
        self.number = OPERATIONS[name]
        for number in range(self.number // states.GROWTH * states.GROWTH, self.number):
            states.perform(number, self.base, encoder)
        self.before = states.generation(self.base) if self.number else 0

    def begin(self) -> Path:
        """Return the folder as it is before the operation."""
        # A new name each time: a thread of Tantivy's that watches the old folder may put a lock file there again.
        shutil.rmtree(self.folder, ignore_errors=True)
        self._n_begun += 1
        self.folder = self.base.with_name(f"{self.name} {self._n_begun}")
        if self.base.exists():
            shutil.copytree(self.base, self.folder)
        return self.folder

    def is_done(self) -> bool:
        """Tell whether the operation is in force; the folder must hold the state before or after it, whole."""
        if self.number == 0 and is_nothing(self.folder):
            return False
        done = states.generation(self.folder) > self.before
        number = self.number if done else self.number - 1
        states.state_of(self.folder, self.encoder, range(number, number + 1))
        return done

    def go_on(self, is_done: bool) -> None:
        """Check that the next writer finds its way, whether or not the operation is in force."""
        if not is_done:
            states.perform(self.number, self.folder, self.encoder)
            assert self.is_done()
        states.check_next_writer(self.folder, self.encoder)


def is_nothing(folder: Path) -> bool:
    """Tell whether the folder holds nothing committed, and says so."""
    try:
        Index.open(folder).close()
    except IndexFolderError as error:
        return any(what in str(error) for what in ("nothing was committed", "no such folder", "holds no catalog"))
    return False


def killed_at(case: Case, processes: Processes, encoder_folder: Path, at: int) -> bool | None:
    """Kill a writer at its call number `at`; tell whether the operation was in force; None if it was done before."""
    writer = Writer(processes, encoder_folder)
    outcome = writer.perform(case.number, case.begin(), Fault(at, kill=writer.process.pid))
    writer.close()
    if outcome != DIED:
        assert outcome[0] == writer_process.DONE, outcome
        return None
    done = case.is_done()
    case.go_on(done)
    return done


def failed_at(case: Case, writer: Writer, fault: Fault) -> tuple[str, str]:
    """Let calls of the operation fail; check that what it says of itself is true, and return that."""
    outcome, message = writer.perform(case.number, case.begin(), fault)
    what = f"{errno.errorcode[fault.error]}{' from then on' * fault.lasting}"
    where = f"{case.name}, call {fault.at} {fault.calls[fault.at - 1 : fault.at]}, {what}"
    assert outcome in (writer_process.DONE, writer_process.ERROR), f"{where}: {outcome} {message}"
    done = case.is_done()
    # Where SQLite could not sync its log, it cannot know what will be found on the disk.
    unknown = "disk I/O error" in message and (fault.lasting or fault.calls[fault.at - 1][0] == "fdatasync")
    assert unknown or done == (outcome == writer_process.DONE or IN_FORCE in message), (
        f"{where}: said {outcome} {message}"
    )
    case.go_on(done)
    return outcome, message


def moments(case: Case, processes: Processes, encoder_folder: Path, n: int) -> list[int]:
    """Return the numbers of the calls to try: n or a few more, spread evenly, and the last of each kind."""
    writer, counted = Writer(processes, encoder_folder), Fault()
    assert writer.perform(case.number, case.begin(), counted) == (writer_process.DONE, "")
    writer.close()
    assert case.is_done()
    kinds = {(name, _part(file)): at for at, (name, file) in enumerate(counted.calls, 1)}
    return sorted({*range(1, len(counted.calls) + 1, max(1, len(counted.calls) // n)), *kinds.values()})


def _part(file: str) -> str:
    """Return what the file is for: Tantivy's are alike."""
    return next((part for part in ("catalog", "vectors", "index", "write.lock", "meta.json") if part in file), "words")


FAULTS = ((errno.ENOSPC, True), (errno.EIO, False), (errno.ENOSPC, False), (errno.EIO, True))  # error, lasting
