"""Every change of the disk failing in turn, of a full disk or a broken one: a clear error, and the old state in force.

SQLite, Tantivy and Python are met alike: the calls of the system itself fail.
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
    pytest.mark.skipif(not disk.is_possible(), reason="needs Linux that lets a process supervise another"),
]
MOMENTS = 12
CLEAR = re.compile("No space left on device|disk is full|Input/output error|disk I/O error|cannot be (written|opened)")


@pytest.mark.parametrize("name", supervised.OPERATIONS)
def test_what_cannot_be_written_is_a_clear_error_and_changes_nothing(
    name: str, place: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    case = supervised.Case(name, place, encoder)
    writer = supervised.Writer(processes, encoder_folder)  # the same process goes on after each error
    outcomes = set()
    for turn, at in enumerate(supervised.moments(case, processes, encoder_folder, MOMENTS)):
        error, lasting = supervised.FAULTS[turn % len(supervised.FAULTS)]
        outcome, message = supervised.failed_at(case, writer, supervised.Fault(at, error, lasting=lasting))
        assert outcome == supervised.writer_process.DONE or CLEAR.search(message), message
        assert not (error == errno.EIO and "make room, nothing" in message), message
        outcomes.add(outcome)
    assert outcomes == {"done", "error"}  # what fails behind the commit leaves work to the next writer, no more
