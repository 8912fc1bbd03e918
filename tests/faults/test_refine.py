"""A refinement that is killed at any moment loses at most one block, and the next one ends with the same index."""

import os
from pathlib import Path

import pytest
import refining

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

N_KILLS = 200


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_refinement_goes_on_and_ends_as_direct_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in refining.make_limits(tmp_path):
        monkeypatch.setattr(*limit)
    outcomes = refining.kill_refinements(tmp_path, N_KILLS, seed=7)
    assert outcomes[refining.KILLED] > N_KILLS / 4
    assert outcomes[refining.REFINED] > 0
