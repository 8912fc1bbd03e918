"""Readers, in processes and in threads, while a writer changes the index in every way."""

from pathlib import Path

import pytest
import reading
import states
from processes import Processes

from hpdsearch.encoder import Encoder

pytestmark = pytest.mark.slow

SECONDS = 8


def test_processes_see_only_committed_states_while_another_one_writes(
    place: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    states.perform(0, place / "index", encoder)
    seen = reading.read_in_processes(place / "index", processes, encoder, encoder_folder, SECONDS)
    assert min(seen) > 8


def test_threads_see_only_committed_states_while_another_one_writes(place: Path, encoder: Encoder) -> None:
    states.perform(0, place / "index", encoder)
    n_answers, last = reading.read_in_threads(place / "index", encoder, SECONDS)
    assert n_answers > 100
    assert last > 2 * len(states.PERIOD)
