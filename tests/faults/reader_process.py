"""A process that opens and searches an index again and again, and reports the first answer that no state gives."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

import states

from hpdsearch.encoder import Encoder
from hpdsearch.engine import Index


def read(pipe: Connection, folder: Path, encoder_folder: Path, seconds: float, verify: bool) -> None:
    """Tell the pipe (problem, states seen); the problem is "" if every answer was that of the state that was opened."""
    encoder = Encoder.load(encoder_folder, threads=1)
    pipe.send("ready")
    until = time.monotonic() + seconds
    seen: list[int] = []
    problem = ""
    try:
        while time.monotonic() < until:
            problem = check(folder, encoder, seen, verify)
            if problem:
                break
    except BaseException as error:
        problem = f"after state {seen[-1:]}: {error!r}"
    pipe.send((problem, seen))


def check(folder: Path, encoder: Encoder, seen: list[int], verify: bool) -> str:
    with Index.open(folder, encoder=encoder) as index:
        number = index.info().generation - 1  # each operation is one commit
        for _ in range(3):
            documents = states.found(index)
            if documents != states.state(number):
                return f"state {number} was opened, but {sorted(documents)} found"
        if verify and (problems := index.verify()):
            return f"after state {number}: {problems}"
    if seen and number < seen[-1]:
        return f"state {number} came after {seen[-1]}"
    seen.append(number)
    return ""
