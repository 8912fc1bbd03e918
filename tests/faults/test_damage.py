"""Every file cut off at several lengths, or with a bit flipped: an error or the right answer, and verify finds it."""

from pathlib import Path

import damage
import pytest
from processes import Processes

from hpdsearch.encoder import Encoder

pytestmark = pytest.mark.slow

CASES = dict(zip(damage.KINDS, (450, 350, 200, 200, 150), strict=True))


@pytest.mark.parametrize("what", CASES)
def test_damage_is_an_error_or_does_no_harm_and_is_found(
    what: str,
    place: Path,
    processes: Processes,
    encoder: Encoder,
    encoder_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = damage.make(what, place / "original", encoder)
    problems, outcomes = damage.damage_each(made, place, processes, encoder_folder, CASES[what], seed=1)
    assert problems == []
    assert sum(outcomes.values()) > CASES[what] * 0.8
    assert {outcome for ending, outcome in outcomes if ending in (".faiss", ".idx")} == {"error"}
    assert {outcome for ending, outcome in outcomes if ending == ".f16"} <= {"error", "right"}  # of rows not touched
    assert ".sqlite" in {ending for ending, outcome in outcomes if outcome == "right"}  # free space, for one
    capfd.readouterr()  # Tantivy's panics, which are caught
