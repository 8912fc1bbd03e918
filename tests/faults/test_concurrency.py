"""Readers in processes of their own while a writer adds, deletes and overwrites: each answer is a committed state's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import reader_process
import states
import writer_process

from hpdsearch.encoder import Encoder

SECONDS = 8
PATIENCE = 60


def test_readers_see_only_committed_states_while_a_writer_works(
    start: Callable[..., Any], tmp_path: Path, tiny_encoder: Encoder, tiny_folder: Path
) -> None:
    folder = tmp_path / "index"
    states.perform(0, folder, tiny_encoder)
    readers = [start(reader_process.read, folder, tiny_folder, SECONDS, number == 2) for number in range(3)]
    for _, pipe in readers:
        assert pipe.poll(PATIENCE)
        assert pipe.recv() == "ready"
    writer, reports = start(writer_process.work, folder, tiny_folder, 1, 10**6)
    problems, seen = [], []
    for _, pipe in readers:
        assert pipe.poll(SECONDS + PATIENCE)
        problem, numbers = pipe.recv()
        problems.append(problem)
        seen.append(set(numbers))
    assert problems == ["", "", ""]
    assert writer.is_alive()
    last = 0
    while reports.poll():
        last = reports.recv() or last
    assert last > 15
    assert all(len(numbers) > 8 for numbers in seen)
    writer.kill()
    writer.join(PATIENCE)
    while reports.poll():
        try:
            last = reports.recv()
        except EOFError:
            break
    states.state_of(folder, tiny_encoder, [last, last + 1])
    states.check_next_writer(folder, tiny_encoder)
