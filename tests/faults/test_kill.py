"""A writer that dies at any moment leaves the last state that it reported, or the next one, intact."""

import random
import signal
from pathlib import Path

import disk
import killing
import pytest
import states
import supervised
import writer_process
from processes import TIMEOUT, Processes, receive

from hpdsearch.encoder import Encoder
from hpdsearch.errors import LockedError
from hpdsearch.index import Index
from hpdsearch.records import Document

pytestmark = pytest.mark.slow

N_KILLS = 200
N_FIRST_BUILDS = 12
N_INTERRUPTS = 12
N_CALLS = 12


@pytest.fixture
def folder(work_folder: Path, encoder: Encoder) -> Path:
    """Return the folder of an index in state 0."""
    states.perform(0, work_folder / "index", encoder)
    return work_folder / "index"


def test_a_writer_killed_at_any_time_leaves_an_intact_state(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    interrupted = killing.kill_at_random(folder, processes, encoder, encoder_folder, N_KILLS, seed=1)
    assert set(interrupted) == set(states.PERIOD)
    assert min(interrupted.values()) > N_KILLS / 40


def test_an_interrupted_writer_leaves_an_intact_state(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    rng = random.Random(2)
    number = 0
    for _ in range(N_INTERRUPTS):
        delay = rng.uniform(0, killing.MAX_DELAY)
        reported = killing.run_and_signal(processes, folder, encoder_folder, number + 1, signal.SIGINT, delay)
        number = states.check_state(folder, encoder, range(reported, reported + 2))
        states.check_next_writer(folder, encoder)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_first_build_leaves_no_index_or_a_complete_one(
    work_folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path, kind: signal.Signals
) -> None:
    n_without_commit = 0
    for turn in range(N_FIRST_BUILDS):
        folder = work_folder / str(turn)
        delay = killing.MAX_DELAY / 2 * turn / N_FIRST_BUILDS
        reported = killing.run_and_signal(processes, folder, encoder_folder, 0, kind, delay)
        if reported == states.NOTHING and supervised.has_no_commit(folder):
            n_without_commit += 1
            if kind == signal.SIGINT and folder.exists():  # the interrupt came before the build began to write
                assert {path.name for path in folder.iterdir()} <= {"write.lock", "catalog.sqlite"}
            states.perform(0, folder, encoder)
            reported = 0
        states.check_state(folder, encoder, range(max(0, reported), reported + 2))
        states.check_next_writer(folder, encoder)
    assert n_without_commit > 1


@pytest.mark.skipif(not disk.can_supervise(), reason="needs Linux that lets a process supervise another")
@pytest.mark.parametrize("name", supervised.OPERATIONS)
def test_a_writer_killed_at_each_write_leaves_an_intact_state(
    name: str, work_folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    case = supervised.Case(name, work_folder, encoder)
    calls = supervised.choose_calls(case, processes, encoder_folder, N_CALLS)
    committed = [supervised.kill_at_call(case, processes, encoder_folder, at) for at in calls]
    outcomes = [is_committed for is_committed in committed if is_committed is not None]  # some runs need fewer calls
    assert outcomes == sorted(outcomes)  # one commit point: the old state before it, the new one after it
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 0.8 * len(calls)


def test_the_error_of_a_second_writer_names_the_process_that_writes(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    process, pipe = processes.start(writer_process.hold_lock, folder, encoder_folder)
    assert receive(pipe) == "writing"
    with Index.open(folder, encoder=encoder, merge_policy=states.POLICY) as index:
        for change in (
            lambda: index.add([Document("x", "cat")]),
            lambda: index.delete(next(iter(states.expected_state(0)))),
            lambda: index.compact(),
            lambda: Index.build(folder, [Document("x", "cat")], encoder=encoder, overwrite=True),
        ):
            with pytest.raises(LockedError, match=f"process {process.pid} is writing to this index; try again"):
                change()
        assert states.find_documents(index) == states.expected_state(0)
        pipe.send("go on")
        assert receive(pipe) == "done"
        index.add([Document("x", "cat")])
        assert index.search("cat moon", 100, mode="lexical")
        assert len(index) == len(states.expected_state(0)) + 2
        assert index.verify() == []


def test_the_lock_of_a_killed_writer_is_taken_over_at_once(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    process, pipe = processes.start(writer_process.hold_lock, folder, encoder_folder)
    assert receive(pipe) == "writing"
    process.kill()
    process.join(TIMEOUT)
    assert states.check_state(folder, encoder, range(1)) == 0
    states.check_next_writer(folder, encoder)
