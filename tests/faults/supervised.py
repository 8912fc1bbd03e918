"""Count the calls by which a writer changes files, and kill the writer at one of them or let calls fail."""

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
from processes import TIMEOUT, Processes

from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError
from hpdsearch.index import Index

# One operation of each kind: additions to a small index, compact and reindex of a larger one.
OPERATIONS = {
    states.BUILD: 0,
    states.ADD: 1,
    states.DELETE: 2,
    states.OVERWRITE: 8,
    states.COMPACT: 11,
    states.REINDEX: 13,
}
assert all(states.operation_name(number) == name for name, number in OPERATIONS.items())
OPERATIONS["add that merges"] = states.GROWTH + 1
OPERATIONS["delete that rewrites"] = states.SHRINKING + 1
CALLS_THAT_NEED_ROOM = {
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
FAULTS = ((errno.ENOSPC, True), (errno.EIO, False), (errno.ENOSPC, False), (errno.EIO, True))  # error, is_lasting
DIED = ("died", "")
COMMITTED = "the change is committed"


class Fault:
    """Decides which calls fail: call number `at`, or all from there on. On a full disk only calls that need room fail.

    Attributes:
        at: number of the call, from 1; 0: none.
        error: the errno that a call fails with.
        is_lasting: all later calls fail too.
        kill: id of the process to kill at this call; 0: none.
        calls: (name, file name) of each call so far.
    """

    def __init__(self, at: int = 0, error: int = errno.EIO, *, is_lasting: bool = False, kill: int = 0) -> None:
        self.at = at or sys.maxsize
        self.error = error
        self.is_lasting = is_lasting
        self.kill = kill
        self.calls: list[tuple[str, str]] = []

    def __call__(self, name: str, path: Path) -> int:
        self.calls.append((name, path.name))
        if len(self.calls) == self.at and self.kill:
            os.kill(self.kill, signal.SIGKILL)
        needs_room = name in CALLS_THAT_NEED_ROOM and not (name.startswith("open") and path.exists())
        if self.error == errno.ENOSPC and not needs_room:
            return 0
        return self.error if len(self.calls) == self.at or (self.is_lasting and len(self.calls) > self.at) else 0


class Writer:
    """A process that performs operations under supervision."""

    def __init__(self, processes: Processes, encoder_folder: Path) -> None:
        self.process, self._pipe = processes.start(writer_process.perform_on_request, encoder_folder)
        assert self._pipe.poll(TIMEOUT)
        self._listener = recv_handle(self._pipe)
        self._folder = Path("/nowhere")
        self._fault = Fault()
        self._supervisor = threading.Thread(target=disk.supervise, args=(self._listener, self._decide), daemon=True)
        self._supervisor.start()

    def _decide(self, name: str, path: Path) -> int:
        return self._fault(name, path) if path.is_relative_to(self._folder) else 0

    def perform(self, number: int, folder: Path, fault: Fault) -> tuple[str, str]:
        """Perform an operation in the process; return (outcome, message)."""
        self._folder = folder
        self._fault = fault
        self._pipe.send((number, folder))
        try:
            assert self._pipe.poll(TIMEOUT), f"no answer after {len(fault.calls)} calls"
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            return DIED
        finally:
            self._fault = Fault()

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.join(TIMEOUT)
        self._supervisor.join(TIMEOUT)
        os.close(self._listener)


class Case:
    """An operation, the folder before it, and the folder in which it runs."""

    def __init__(self, name: str, work_folder: Path, encoder: Encoder) -> None:
        self.name = name
        self.encoder = encoder
        self.before = work_folder / f"before {name}"
        self.folder = work_folder / name
        self._n_copies = 0
        self.number = OPERATIONS[name]
        for number in range(self.number // states.GROWTH * states.GROWTH, self.number):
            states.perform(number, self.before, encoder)
        self._generation = states.read_generation(self.before) if self.number else 0

    def begin(self) -> Path:
        """Return a new copy of the folder before the operation."""
        # Each copy has a new name: a thread of Tantivy that watches the old one may write a lock file there again.
        shutil.rmtree(self.folder, ignore_errors=True)
        self._n_copies += 1
        self.folder = self.before.with_name(f"{self.name} {self._n_copies}")
        if self.before.exists():
            shutil.copytree(self.before, self.folder)
        return self.folder

    def is_committed(self) -> bool:
        """Tell whether the operation is committed; check that the folder holds the state before or after it, intact."""
        if self.number == 0 and has_no_commit(self.folder):
            return False
        is_committed = states.read_generation(self.folder) > self._generation
        number = self.number if is_committed else self.number - 1
        states.check_state(self.folder, self.encoder, range(number, number + 1))
        return is_committed

    def check_next_writers(self, is_committed: bool) -> None:
        """Perform the operation if it is not committed, and check the next writer."""
        if not is_committed:
            states.perform(self.number, self.folder, self.encoder)
            assert self.is_committed()
        states.check_next_writer(self.folder, self.encoder)


def has_no_commit(folder: Path) -> bool:
    """Tell whether opening the folder fails because nothing was committed in it."""
    try:
        Index.open(folder).close()
    except IndexFolderError as error:
        return any(part in str(error) for part in ("nothing was committed", "no such folder", "holds no catalog"))
    return False


def kill_at_call(case: Case, processes: Processes, encoder_folder: Path, at: int) -> bool | None:
    """Kill a writer at its call number `at`, and check the folder and the next writer.

    Returns:
        whether the operation was committed; None if it ended before that call.
    """
    writer = Writer(processes, encoder_folder)
    outcome = writer.perform(case.number, case.begin(), Fault(at, kill=writer.process.pid))
    writer.close()
    if outcome != DIED:
        assert outcome[0] == writer_process.DONE, outcome
        return None
    is_committed = case.is_committed()
    case.check_next_writers(is_committed)
    return is_committed


def fail_at_call(case: Case, writer: Writer, fault: Fault) -> tuple[str, str]:
    """Let calls of the operation fail; check that its outcome is true, and return (outcome, message)."""
    outcome, message = writer.perform(case.number, case.begin(), fault)
    failure = f"{errno.errorcode[fault.error]}{' from then on' * fault.is_lasting}"
    where = f"{case.name}, call {fault.at} {fault.calls[fault.at - 1 : fault.at]}, {failure}"
    assert outcome in (writer_process.DONE, writer_process.ERROR), f"{where}: {outcome} {message}"
    is_committed = case.is_committed()
    # If SQLite cannot sync its log, it cannot know which bytes are on the disk.
    is_unknown = "disk I/O error" in message and (fault.is_lasting or fault.calls[fault.at - 1][0] == "fdatasync")
    assert is_unknown or is_committed == (outcome == writer_process.DONE or COMMITTED in message), (
        f"{where}: reported {outcome} {message}"
    )
    case.check_next_writers(is_committed)
    return outcome, message


def choose_calls(case: Case, processes: Processes, encoder_folder: Path, n: int) -> list[int]:
    """Return the numbers of the calls to try: about n, spread evenly, and the last call of each kind."""
    writer = Writer(processes, encoder_folder)
    fault = Fault()
    assert writer.perform(case.number, case.begin(), fault) == (writer_process.DONE, "")
    writer.close()
    assert case.is_committed()
    last_of_kind = {(name, _file_role(file)): at for at, (name, file) in enumerate(fault.calls, 1)}
    return sorted({*range(1, len(fault.calls) + 1, max(1, len(fault.calls) // n)), *last_of_kind.values()})


def _file_role(file: str) -> str:
    """Return the part of the index that a file belongs to."""
    return next(
        (part for part in ("catalog", "vectors", "index", "write.lock", "meta.json") if part in file), "lexical"
    )
