"""Kill writers at random moments, and compare the state that they leave with the state that they reported."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import states
import writer_process
from processes import TIMEOUT, Processes, receive

from hpdsearch.encoder import Encoder

NO_LIMIT = 10**6  # more operations than a writer performs before it is killed
MAX_DELAY = 0.12  # seconds; longer than an operation


def read_last_report(pipe: Connection, otherwise: int) -> int:
    """Return the last state that a dead process reported."""
    number = otherwise
    try:
        while pipe.poll():
            number = pipe.recv()
    except EOFError:
        pass
    return number


def run_and_signal(
    processes: Processes,
    folder: Path,
    encoder_folder: Path,
    first: int,
    kind: signal.Signals,
    delay: float,
    n_finished: int = 0,
) -> int:
    """Run a writer that begins with an operation, and send it a signal; return the last state that it reported.

    Args:
        processes: starts the writer.
        folder: in state first - 1.
        encoder_folder: of the encoder.
        first: number of the first operation.
        kind: the signal.
        delay: seconds between the last finished operation and the signal.
        n_finished: operations that finish before.
    """
    arguments = (folder, encoder_folder, first, NO_LIMIT)
    process, pipe = processes.start(writer_process.perform_until_killed, *arguments)
    for expected in (None, *range(first, first + n_finished)):
        assert receive(pipe) == expected
    time.sleep(delay)
    for _ in range(TIMEOUT // 5):
        os.kill(process.pid, kind)
        process.join(5)
        if process.exitcode is not None:  # Python swallows an interrupt that comes within some object's __del__
            break
    assert process.exitcode == (-signal.SIGKILL if kind == signal.SIGKILL else writer_process.INTERRUPTED)
    return read_last_report(pipe, otherwise=first - 1 + n_finished)


def kill_at_random(
    folder: Path,
    processes: Processes,
    encoder: Encoder,
    encoder_folder: Path,
    n: int,
    seed: int,
    report: Callable[[int], None] = lambda n_killed: None,
) -> Counter[str]:
    """Kill n writers, one after the other; check the state after each kill, and that the next writer can go on.

    Args:
        folder: in state 0; goes through the states.
        processes: starts the writers.
        encoder: of the documents.
        encoder_folder: its folder, for the writers.
        n: number of kills.
        seed: of the moments.
        report: gets the number of kills so far.

    Returns:
        the number of kills during each kind of operation.
    """
    rng = random.Random(seed)
    number = 0
    interrupted: Counter[str] = Counter()
    for turn in range(n):
        # Most signals come within the next operation, of each kind in turn; some come after several operations.
        delay = rng.uniform(0, MAX_DELAY) if turn % 8 == 0 else rng.uniform(0, MAX_DELAY / 4)
        n_finished = rng.choice((0, 0, 1))
        reported = run_and_signal(processes, folder, encoder_folder, number + 1, signal.SIGKILL, delay, n_finished)
        number = states.check_state(folder, encoder, range(reported, reported + 2))
        interrupted[states.operation_name(reported + 1)] += 1
        if rng.random() < 0.5:  # the next writer begins with the operation that was interrupted
            number += 1
            states.perform(number, folder, encoder)
            states.check_state(folder, encoder, range(number, number + 1))
        states.check_next_writer(folder, encoder)
        processes.stop_all()
        report(turn + 1)
    return interrupted
