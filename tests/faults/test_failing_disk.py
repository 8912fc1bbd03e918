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
