"""A writer that dies at any moment leaves the last state that it reported, or the next one, whole."""

import random
import signal
from pathlib import Path

import disk
import killing
import pytest
import states
import supervised
import writer_process
from processes import PATIENCE, Processes

from hpdsearch.encoder import Encoder
from hpdsearch.errors import LockedError
from hpdsearch.index import Index
from hpdsearch.records import Document

pytestmark = pytest.mark.slow

KILLS, FIRST_BUILD_KILLS, INTERRUPTS, MOMENTS = 200, 12, 12, 12


@pytest.fixture
def folder(place: Path, encoder: Encoder) -> Path:
    """Folder of an index in state 0."""
    states.perform(0, place / "index", encoder)
    return place / "index"


def test_a_writer_killed_at_any_time_leaves_a_whole_state(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    under_way = killing.kill_at_random(folder, processes, encoder, encoder_folder, KILLS, seed=1)
    assert set(under_way) == set(states.PERIOD)
    assert min(under_way.values()) > KILLS / 40


def test_an_interrupted_writer_leaves_a_whole_state(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    chance = random.Random(2)
    number = 0
    for _ in range(INTERRUPTS):
        delay = chance.uniform(0, killing.LONGEST)
        reported = killing.end(processes, folder, encoder_folder, number + 1, signal.SIGINT, delay)
        number = states.state_of(folder, encoder, range(reported, reported + 2))
        states.check_next_writer(folder, encoder)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_first_build_that_is_stopped_leaves_nothing_or_all(
    place: Path, processes: Processes, encoder: Encoder, encoder_folder: Path, kind: signal.Signals
) -> None:
    n_nothing = 0
    for turn in range(FIRST_BUILD_KILLS):
        folder = place / str(turn)
        delay = killing.LONGEST / 2 * turn / FIRST_BUILD_KILLS
        reported = killing.end(processes, folder, encoder_folder, 0, kind, delay)
        if reported == states.NOTHING and supervised.is_nothing(folder):
            n_nothing += 1
            if kind == signal.SIGINT and folder.exists():  # it came before the build had begun to write
                assert {path.name for path in folder.iterdir()} <= {"write.lock", "catalog.sqlite"}
            states.perform(0, folder, encoder)
            reported = 0
        states.state_of(folder, encoder, range(max(0, reported), reported + 2))
        states.check_next_writer(folder, encoder)
    assert n_nothing > 1


@pytest.mark.skipif(not disk.is_possible(), reason="needs Linux that lets a process supervise another")
@pytest.mark.parametrize("name", supervised.OPERATIONS)
def test_a_writer_killed_at_each_change_of_the_disk_leaves_a_whole_state(
    name: str, place: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    case = supervised.Case(name, place, encoder)
    moments = supervised.moments(case, processes, encoder_folder, MOMENTS)
    killed = [supervised.killed_at(case, processes, encoder_folder, at) for at in moments]
    outcomes = [is_done for is_done in killed if is_done is not None]  # a run may do with a call less than the first
    assert outcomes == sorted(outcomes)  # one commit point: the old state before it, the new one after it
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 0.8 * len(moments)


def test_a_second_writer_is_told_the_process_that_writes(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    process, pipe = processes.start(writer_process.hold, folder, encoder_folder)
    assert pipe.poll(PATIENCE)
    assert pipe.recv() == "writing"
    with Index.open(folder, encoder=encoder, merge_policy=states.POLICY) as index:
        for change in (
            lambda: index.add([Document("x", "cat")]),
            lambda: index.delete(next(iter(states.state(0)))),
            lambda: index.compact(),
            lambda: Index.build(folder, [Document("x", "cat")], encoder=encoder, overwrite=True),
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
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    process, pipe = processes.start(writer_process.hold, folder, encoder_folder)
    assert pipe.poll(PATIENCE)
    assert pipe.recv() == "writing"
    process.kill()
    process.join(PATIENCE)
    assert states.state_of(folder, encoder, range(1)) == 0
    states.check_next_writer(folder, encoder)
