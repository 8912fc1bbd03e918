"""Read an index while a writer changes it in every way: each answer must be that of a committed state."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import reader_process
import states
import writer_process
from killing import NO_LIMIT, read_last_report
from processes import TIMEOUT, Processes, receive

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

N_READERS = 3


def read_in_processes(
    folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path, seconds: float
) -> list[int]:
    """Read a folder in state 0 in several processes while another one changes it.

    Returns:
        the number of states that each reader saw.
    """
    readers = [
        processes.start(reader_process.read_repeatedly, folder, encoder_folder, seconds, n == N_READERS - 1)
        for n in range(N_READERS)
    ]
    for _, pipe in readers:
        assert receive(pipe) == "ready"
    writer, reports = processes.start(writer_process.perform_until_killed, folder, encoder_folder, 1, NO_LIMIT)
    n_states = []
    for _, pipe in readers:
        problem, numbers = receive(pipe, seconds + TIMEOUT)
        assert problem == ""
        n_states.append(len(set(numbers)))
    assert writer.is_alive()
    writer.kill()
    writer.join(TIMEOUT)
    last = read_last_report(reports, otherwise=0) or 0
    assert last > len(states.PERIOD)
    states.check_state(folder, encoder, range(last, last + 2))
    states.check_next_writer(folder, encoder)
    return n_states


class SharedIndex:
    """An open index that several threads search while another one changes it.

    Attributes:
        index: the index.
        committed: number of the last state that was committed through it.
        pending: number of the state that is being written, or the same.
    """

    def __init__(self, folder: Path, encoder: Encoder, number: int) -> None:
        self.index = Index.open(folder, encoder=encoder, merge_policy=states.POLICY)
        self.committed = number
        self.pending = number


def read_in_threads(folder: Path, encoder: Encoder, seconds: float) -> tuple[int, int]:
    """Search two Index objects of a folder in state 0 in threads, while another thread changes it through both in turn.

    Returns:
        n_searches: the number of searches.
        last: the number of the last state.
    """
    shared = [SharedIndex(folder, encoder, 0) for _ in range(2)]
    until = time.monotonic() + seconds
    stop = threading.Event()

    def has_time() -> bool:
        return time.monotonic() < until and not stop.is_set()

    def write() -> int:
        number = 0
        for one in cycle(shared):
            if not has_time():
                return number
            number += 1
            if states.operation_name(number) == states.OVERWRITE:
                states.perform(number, folder, encoder)
                continue
            one.pending = number
            states.perform_on(one.index, number)
            one.committed = number
        raise AssertionError

    def read(one: SharedIndex, mode: str) -> int:
        n = 0
        while has_time():
            first = one.committed
            documents = states.find_documents(one.index, (mode,))
            numbers = range(first, one.pending + 1)
            found = states.find_state(documents, numbers)
            assert found != states.NOTHING, f"{mode}: none of the states {numbers} holds exactly {documents}"
            n += 1
        return n

    def stop_all_on_error(function: Callable[..., int], *args: object) -> int:
        try:
            return function(*args)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(7) as threads:
        writing = threads.submit(stop_all_on_error, write)
        readers = [
            threads.submit(stop_all_on_error, read, one, mode)
            for one in shared
            for mode in ("dense", "lexical", "hybrid")
        ]
        n_searches = [reader.result() for reader in readers]
        last = writing.result()
    for one in shared:
        one.index.close()
    assert min(n_searches) > 0
    states.check_state(folder, encoder, range(last, last + 1))
    states.check_next_writer(folder, encoder)
    return sum(n_searches), last
