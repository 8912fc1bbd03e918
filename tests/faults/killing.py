"""Killing writers at random moments, and holding what they leave against what they reported."""

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
from processes import PATIENCE, Processes

from hpdsearch.encoder import Encoder

FOREVER = 10**6
LONGEST = 0.12  # seconds after which the latest signal comes: longer than an operation


def last_report(pipe: Connection, otherwise: int) -> int:
    """Return the last state that the dead process had told of."""
    number = otherwise
    try:
        while pipe.poll():
            number = pipe.recv()
    except EOFError:
        pass
    return number


def end(
    processes: Processes,
    folder: Path,
    encoder_folder: Path,
    first: int,
    kind: signal.Signals,
    delay: float,
    n_whole: int = 0,
) -> int:
    """Run a writer from state first - 1 on and send it a signal; return the last state that it reported.

    The signal comes `delay` seconds after n_whole operations are done, the first of which is number `first`.
    """
    process, pipe = processes.start(writer_process.work, folder, encoder_folder, first, FOREVER)
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


def kill_at_random(
    folder: Path,
    processes: Processes,
    encoder: Encoder,
    encoder_folder: Path,
    n: int,
    seed: int,
    tell: Callable[[int], None] = lambda turn: None,
) -> Counter[str]:
    """Kill n writers, one after the other, on a folder in state 0; check each time what is left, and the next writer.

    Args:
        folder: goes through the states.
        n: kills.
        seed: of the moments.
        tell: gets the number of each kill.

    Returns:
        how often each kind of operation was under way.
    """
    chance = random.Random(seed)
    number = 0
    under_way: Counter[str] = Counter()
    for turn in range(n):
        # Mostly within the next operation, of each kind in turn; now and then after several.
        delay = chance.uniform(0, LONGEST) if turn % 8 == 0 else chance.uniform(0, LONGEST / 4)
        n_whole = chance.choice((0, 0, 1))
        reported = end(processes, folder, encoder_folder, number + 1, signal.SIGKILL, delay, n_whole)
        number = states.state_of(folder, encoder, range(reported, reported + 2))
        under_way[states.operation(reported + 1)] += 1
        if chance.random() < 0.5:  # the next writer begins with what the dead one was about
            number += 1
            states.perform(number, folder, encoder)
            states.state_of(folder, encoder, range(number, number + 1))
        states.check_next_writer(folder, encoder)
        processes.stop_all()
        tell(turn + 1)
    return under_way
