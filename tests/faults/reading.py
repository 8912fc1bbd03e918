"""Readers while a writer adds, deletes, compacts, tunes and overwrites: each answer is that of a committed state."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import reader_process
import states
import writer_process
from killing import FOREVER, last_report
from processes import PATIENCE, Processes

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

N_READERS = 3


def read_in_processes(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path, seconds: float
) -> list[int]:
    """Let processes read a folder in state 0 that another one changes; return how many states each reader saw."""
    readers = [
        processes.start(reader_process.read, folder, encoder_folder, seconds, n == N_READERS - 1)
        for n in range(N_READERS)
    ]
    for _, pipe in readers:
        assert pipe.poll(PATIENCE)
        assert pipe.recv() == "ready"
    writer, reports = processes.start(writer_process.work, folder, encoder_folder, 1, FOREVER)
    seen = []
    for _, pipe in readers:
        assert pipe.poll(seconds + PATIENCE)
        problem, numbers = pipe.recv()
        assert problem == ""
        seen.append(len(set(numbers)))
    assert writer.is_alive()
    writer.kill()
    writer.join(PATIENCE)
    last = last_report(reports, otherwise=0) or 0
    assert last > len(states.PERIOD)
    states.state_of(folder, encoder, range(last, last + 2))
    states.check_next_writer(folder, encoder)
    return seen


class Shared:
    """An open index that several threads search while one changes it.

    Attributes:
        index: the index.
        done: the last state that was brought into force through it; going: the one under way, or the same.
    """

    def __init__(self, folder: Path, encoder: Encoder, number: int) -> None:
        self.index = Index.open(folder, encoder=encoder, merge_policy=states.POLICY)
        self.done = self.going = number


def read_in_threads(folder: Path, encoder: Encoder, seconds: float) -> tuple[int, int]:
    """Let threads search two Index objects of a folder in state 0 that a further thread changes through both in turn.

    Returns:
        how many answers were given, and how many changes were made.
    """
    shared = [Shared(folder, encoder, 0) for _ in range(2)]
    until, stop = time.monotonic() + seconds, threading.Event()

    def going_on() -> bool:
        return time.monotonic() < until and not stop.is_set()

    def write() -> int:
        number = 0
        for one in cycle(shared):
            if not going_on():
                return number
            number += 1
            if states.operation(number) == states.OVERWRITE:
                states.perform(number, folder, encoder)
                continue
            one.going = number
            states.perform_on(one.index, number)
            one.done = number
        raise AssertionError

    def read(one: Shared, mode: str) -> int:
        n = 0
        while going_on():
            first = one.done
            documents = states.found(one.index, (mode,))
            among = range(first, one.going + 1)
            assert states.first_with(documents, among) != states.NOTHING, f"{mode}: none of {among} holds {documents}"
            n += 1
        return n

    def stopping(function: Callable[..., int], *args: object) -> int:
        try:
            return function(*args)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(7) as threads:
        writing = threads.submit(stopping, write)
        readers = [
            threads.submit(stopping, read, one, mode) for one in shared for mode in ("dense", "lexical", "hybrid")
        ]
        n_answers, last = [reader.result() for reader in readers], writing.result()
    for one in shared:
        one.index.close()
    assert min(n_answers) > 0
    states.state_of(folder, encoder, range(last, last + 1))
    states.check_next_writer(folder, encoder)
    return sum(n_answers), last
