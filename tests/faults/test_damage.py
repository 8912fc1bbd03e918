"""A truncated file or a flipped bit leads to an error or to the right answer, and verify finds it."""

from pathlib import Path

import damage
import pytest
from processes import Processes

from hpdsearch.encoder import Encoder

pytestmark = pytest.mark.slow

CASES = dict(zip(damage.INDEX_NAMES, (450, 350, 200, 200, 150), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_damage_leads_to_an_error_or_the_right_answer_and_verify_finds_it(
    name: str,
    work_folder: Path,
    processes: Processes,
    encoder: Encoder,
    encoder_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    states = damage.make_index(name, work_folder / "original", encoder)
    problems, outcomes = damage.damage_each(states, work_folder, processes, encoder_folder, CASES[name], seed=1)
    assert problems == []
    assert sum(outcomes.values()) > CASES[name] * 0.8
    assert {outcome for ending, outcome in outcomes if ending in (".faiss", ".idx")} == {"error"}
    assert {outcome for ending, outcome in outcomes if ending == ".f16"} <= {
        "error",
        "right",
    }  # right: no request reads the damaged row
    assert ".sqlite" in {ending for ending, outcome in outcomes if outcome == "right"}  # for example free pages
    capfd.readouterr()  # drops the messages of Tantivy's panics, which hpdsearch catches
