"""A writer that dies at any moment leaves the last state that it reported, or the next one, whole."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import states
import writer_process

from hpdsearch.encoder import Encoder
from hpdsearch.engine import Index
from hpdsearch.errors import FolderError, LockedError
from hpdsearch.records import Document

PATIENCE = 60  # seconds until a process that does not answer is a failure
KILLS, FIRST_BUILD_KILLS, INTERRUPTS = 32, 12, 10
FOREVER = 10**6
LONGEST = 0.2  # seconds after which the latest signal comes: longer than an operation

Start = Callable[..., Any]


def last_report(pipe: Connection, otherwise: int) -> int:
    """Return the last state that the dead process had told of."""
    number = otherwise
    try:
        while pipe.poll():
            number = pipe.recv()
    except EOFError:
        pass
    return number


def is_nothing(folder: Path) -> bool:
    """Tell whether the folder holds nothing committed, and says so."""
    try:
        Index.open(folder).close()
    except FolderError as error:
        return any(what in str(error) for what in ("nothing was committed", "no such folder", "holds no catalog"))
    return False


def end(
    start: Start, folder: Path, encoder_folder: Path, first: int, kind: signal.Signals, delay: float, n_whole: int = 0
) -> int:
    """Run a writer from state first - 1 on and send it a signal; return the last state that it reported.

    The signal comes `delay` seconds after n_whole operations are done, the first of which is number `first`.
    """
    process, pipe = start(writer_process.work, folder, encoder_folder, first, FOREVER)
    for expected in (None, *range(first, first + n_whole)):
        assert pipe.poll(PATIENCE)
        assert pipe.recv() == expected
    time.sleep(delay)
    for _ in range(PATIENCE // 5):
        os.kill(process.pid, kind)
        process.join(5)
        if process.exitcode is not None:  # Python swallows an interrupt that comes within some object's __del__
            break
    assert process.exitcode == (-signal.SIGKILL if kind == signal.SIGKILL else writer_process.INTERRUPTED)
    return last_report(pipe, otherwise=first - 1 + n_whole)


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Folder of an index in state 0."""
    states.perform(0, tmp_path / "index", tiny_encoder)
    return tmp_path / "index"


def test_a_writer_killed_at_any_time_leaves_a_whole_state(
    start: Start, folder: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    chance = random.Random(1)
    number, seen = 0, set()
    for turn in range(KILLS):
        # Each kind of operation in turn is the one that is under way, unless the signal comes late.
        delay, n_whole = LONGEST * (turn // 4) / (KILLS // 4), (turn - number - 1) % 4
        reported = end(start, folder, tiny_folder, number + 1, signal.SIGKILL, delay, n_whole)
        seen.add(states.operation(reported + 1))
        number = states.state_of(folder, tiny_encoder, [reported, reported + 1])
        if chance.random() < 0.5:  # the next writer begins with what the dead one was about
            number += 1
            states.perform(number, folder, tiny_encoder)
            states.state_of(folder, tiny_encoder, [number])
        states.check_next_writer(folder, tiny_encoder)
    assert seen == {states.ADD, states.DELETE, states.OVERWRITE}
    assert number > KILLS / 4


def test_an_interrupted_writer_leaves_a_whole_state(
    start: Start, folder: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    chance = random.Random(2)
    number = 0
    for _ in range(INTERRUPTS):
        reported = end(start, folder, tiny_folder, number + 1, signal.SIGINT, chance.uniform(0, LONGEST))
        number = states.state_of(folder, tiny_encoder, [reported, reported + 1])
        states.check_next_writer(folder, tiny_encoder)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_first_build_that_is_stopped_leaves_nothing_or_all(
    start: Start, tmp_path: Path, tiny_encoder: Encoder, tiny_folder: Path, kind: signal.Signals
) -> None:
    n_nothing = 0
    for turn in range(FIRST_BUILD_KILLS):
        folder = tmp_path / str(turn)
        reported = end(start, folder, tiny_folder, 0, kind, 0.15 * turn / FIRST_BUILD_KILLS)
        if reported == states.NOTHING and is_nothing(folder):
            n_nothing += 1
            if kind == signal.SIGINT and folder.exists():  # it came before the build had begun to write
                assert {path.name for path in folder.iterdir()} <= {"write.lock", "catalog.sqlite"}
            states.perform(0, folder, tiny_encoder)
            reported = 0
        states.state_of(folder, tiny_encoder, [max(0, reported), reported + 1])
        states.check_next_writer(folder, tiny_encoder)
    assert n_nothing > 1


MOST_MOMENTS = 200
OPERATIONS = {"build": 0, "add": 1, "delete": 2, "overwrite": 4}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_writer_killed_at_each_change_of_the_disk_leaves_a_whole_state(
    start: Start, tmp_path: Path, tiny_encoder: Encoder, tiny_folder: Path, name: str
) -> None:
    """Killed before and after the 1st, 2nd, 3rd ... change, until the operation is done before its turn comes."""
    number = OPERATIONS[name]
    base = tmp_path / "base"
    for before in range(number):
        states.perform(before, base, tiny_encoder)
    outcomes = []
    for moment in range(1, MOST_MOMENTS):
        folder = tmp_path / "index"
        shutil.rmtree(folder, ignore_errors=True)
        if number:
            shutil.copytree(base, folder)
        process, pipe = start(writer_process.work, folder, tiny_folder, number, number, moment)
        process.join(PATIENCE)
        reported = last_report(pipe, otherwise=number - 1)
        if process.exitcode == 0:
            assert reported == number
            break
        assert (process.exitcode, reported) == (-signal.SIGKILL, number - 1 if reported is not None else None)
        if number == 0 and is_nothing(folder):
            outcomes.append(states.NOTHING)
        else:
            outcomes.append(states.state_of(folder, tiny_encoder, [max(0, number - 1), number]))
        if outcomes[-1] == number - 1:
            states.perform(number, folder, tiny_encoder)
            states.state_of(folder, tiny_encoder, [number])
        states.check_next_writer(folder, tiny_encoder)
    else:
        pytest.fail(f"{name} was not done after {MOST_MOMENTS} moments")
    assert outcomes == sorted(outcomes)  # one commit point: the old state before it, the new one after it
    assert set(outcomes) == {number - 1, number}
    assert len(outcomes) > 10


def test_a_second_writer_is_told_the_process_that_writes(
    start: Start, folder: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    process, pipe = start(writer_process.hold, folder, tiny_folder)
    assert pipe.poll(PATIENCE)
    assert pipe.recv() == "writing"
    with Index.open(folder, encoder=tiny_encoder) as index:
        for change in (
            lambda: index.add([Document("x", "cat")]),
            lambda: index.delete(next(iter(states.state(0)))),
            lambda: Index.build(folder, [Document("x", "cat")], encoder=tiny_encoder, overwrite=True),
        ):
            with pytest.raises(LockedError, match=f"process {process.pid} is writing to this index; try again"):
                change()
        assert states.found(index) == states.state(0)
        pipe.send("go on")
        assert pipe.poll(PATIENCE)
        assert pipe.recv() == "done"
        index.add([Document("x", "cat")])
        assert index.search("cat moon", 100, mode="lexical")
        assert len(index) == len(states.state(0)) + 2
        assert index.verify() == []


def test_the_lock_of_a_killed_writer_is_taken_over_at_once(
    start: Start, folder: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    process, pipe = start(writer_process.hold, folder, tiny_folder)
    assert pipe.poll(PATIENCE)
    assert pipe.recv() == "writing"
    process.kill()
    process.join(PATIENCE)
    assert states.state_of(folder, tiny_encoder, [0]) == 0
    states.check_next_writer(folder, tiny_encoder)
