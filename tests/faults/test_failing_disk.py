"""If the disk is full or broken at any write, the writer reports a clear error and the old state stays active.

The system calls themselves fail, so the tests cover SQLite, Tantivy and Python alike.
"""

import errno
import re
from pathlib import Path

import disk
import pytest
import supervised
from processes import Processes

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not disk.can_supervise(), reason="needs Linux that lets a process supervise another"),
]
N_CALLS = 12
CLEAR = re.compile("No space left on device|disk is full|Input/output error|disk I/O error|cannot be (written|opened)")


@pytest.mark.parametrize("name", supervised.OPERATIONS)
def test_a_failed_write_is_a_clear_error_and_changes_nothing(
    name: str, work_folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    case = supervised.Case(name, work_folder, encoder)
    writer = supervised.Writer(processes, encoder_folder)  # the same process continues after each error
    outcomes = set()
    for turn, at in enumerate(supervised.choose_calls(case, processes, encoder_folder, N_CALLS)):
        error, is_lasting = supervised.FAULTS[turn % len(supervised.FAULTS)]
        outcome, message = supervised.fail_at_call(case, writer, supervised.Fault(at, error, is_lasting=is_lasting))
        assert outcome == supervised.writer_process.DONE or CLEAR.search(message), message
        assert not (error == errno.EIO and "make room, nothing" in message), message
        outcomes.add(outcome)
    assert outcomes == {"done", "error"}  # "done": only the cleanup after the commit failed; the next writer repeats it


class NoRoomFor(supervised.Fault):
    """A disk on which there is no room for the files whose names begin in one way."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def __call__(self, name: str, path: Path) -> int:
        super().__call__(name, path)
        needs_room = name in supervised.CALLS_THAT_NEED_ROOM and path.name.startswith(self.beginning)
        return errno.ENOSPC if needs_room else 0


@pytest.mark.parametrize("beginning", ["vectors-", "index-"])
def test_documents_are_deleted_without_room_to_rewrite_their_segment_and_the_next_change_rewrites_it(
    beginning: str, work_folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    case = supervised.Case("delete that rewrites", work_folder, encoder)
    writer = supervised.Writer(processes, encoder_folder)
    fault = NoRoomFor(beginning)
    assert writer.perform(case.number, case.begin(), fault) == (supervised.writer_process.DONE, "")
    assert any(file.startswith(beginning) for _, file in fault.calls)
    assert case.is_committed()
    deleted = supervised.states.make_documents(case.number)
    with Index.open(case.folder, encoder=encoder, merge_policy=supervised.states.POLICY) as index:
        assert index.info().n_deleted == len(deleted)
        index.delete(next(iter(supervised.states.expected_state(case.number))))
        assert index.info().n_deleted == 0
        assert index.verify() == []
    writer.close()
