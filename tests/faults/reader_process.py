"""A process that opens and searches an index again and again, and reports the first answer that no state gives."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

import states

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

AHEAD = 1000  # states that a writer may bring into force between two looks


def read(pipe: Connection, folder: Path, encoder_folder: Path, seconds: float, verify: bool) -> None:
    """Tell the pipe (problem, states seen); the problem is "" if every answer was that of the state that was opened."""
    encoder = Encoder.load(encoder_folder, threads=1)
    pipe.send("ready")
    until = time.monotonic() + seconds
    seen = [0]
    problem = ""
    try:
        while time.monotonic() < until and not problem:
            problem = check(folder, encoder, seen, verify)
    except BaseException as error:
        problem = f"after state {seen[-1]}: {error!r}"
    pipe.send((problem, seen))


def check(folder: Path, encoder: Encoder, seen: list[int], verify: bool) -> str:
    with Index.open(folder, encoder=encoder) as index:
        documents = states.found(index)
        number = states.first_with(documents, range(seen[-1], seen[-1] + AHEAD))
        if number == states.NOTHING:
            return f"no state after {seen[-1]} holds what was found: {sorted(documents)}"
        for _ in range(2):
            if states.found(index) != documents:
                return f"state {number} was opened, but not found again"
        if verify and (problems := index.verify()):
            return f"after state {number}: {problems}"
    seen.append(number)
    return ""
