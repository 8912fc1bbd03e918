"""Readers, in processes and in threads, see only committed states while a writer changes the index in every way."""

from pathlib import Path

import pytest
import reading
import states
from processes import Processes

from hpdsearch.encoder import Encoder

pytestmark = pytest.mark.slow

SECONDS = 8


def test_processes_see_only_committed_states_while_another_one_writes(
    work_folder: Path, processes: Processes, encoder: Encoder, encoder_folder: Path
) -> None:
    states.perform(0, work_folder / "index", encoder)
    n_states = reading.read_in_processes(work_folder / "index", processes, encoder, encoder_folder, SECONDS)
    assert min(n_states) > 8


def test_threads_see_only_committed_states_while_another_one_writes(work_folder: Path, encoder: Encoder) -> None:
    states.perform(0, work_folder / "index", encoder)
    n_searches, last = reading.read_in_threads(work_folder / "index", encoder, SECONDS)
    assert n_searches > 100
    assert last > 2 * len(states.PERIOD)
