"""A process that opens and searches an index again and again, and reports the first answer that is no state's."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

import states

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

MAX_STATES_AHEAD = 1000  # states that a writer may commit between two checks


def read_repeatedly(pipe: Connection, folder: Path, encoder_folder: Path, seconds: float, verify: bool) -> None:
    """Send (problem, numbers of the states seen); the problem is "" if every answer was that of the opened state."""
    encoder = Encoder.load(encoder_folder, threads=1)
    pipe.send("ready")
    until = time.monotonic() + seconds
    numbers = [0]
    problem = ""
    try:
        while time.monotonic() < until and not problem:
            problem = _check_once(folder, encoder, numbers, verify)
    except BaseException as error:
        problem = f"after state {numbers[-1]}: {error!r}"
    pipe.send((problem, numbers))


def _check_once(folder: Path, encoder: Encoder, numbers: list[int], verify: bool) -> str:
    with Index.open(folder, encoder=encoder) as index:
        documents = states.find_documents(index)
        number = states.find_state(documents, range(numbers[-1], numbers[-1] + MAX_STATES_AHEAD))
        if number == states.NOTHING:
            return f"no state after {numbers[-1]} holds exactly these documents: {sorted(documents)}"
        for _ in range(2):
            if states.find_documents(index) != documents:
                return f"state {number} was opened, but a later search found other documents"
        if verify and (problems := index.verify()):
            return f"after state {number}: {problems}"
    numbers.append(number)
    return ""
