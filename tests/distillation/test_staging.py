import json
import shutil

import pytest
from tiny_encoder import make_tiny_encoder

from hpdsearch.distillation.staging import create_staging, exclusive_lock, promote
from hpdsearch.encoder.folder import read_card
from hpdsearch.errors import DistillError


@pytest.mark.parametrize("path", ["..", "../beside", ".", "", "training"])
def test_overwriting_an_encoder_removes_no_folder_but_its_own_modules(tmp_path, path):
    output, beside = make_tiny_encoder(tmp_path / "output"), tmp_path / "beside" / "precious.txt"
    beside.parent.mkdir()
    beside.write_text("kept")
    (output / "0_Transformer").mkdir()
    (output / "modules.json").write_text(json.dumps([{"path": "0_Transformer"}, {"path": path}]))
    (create_staging(output) / "new.txt").write_text("new")
    shutil.copy(output / "encoder.json", output / "training" / "staging")
    promote(output)
    assert beside.read_text() == "kept"
    assert (output / "new.txt").read_text() == "new"
    assert read_card(output).name
    assert not (output / "0_Transformer").exists()


def test_one_process_at_a_time_distills_into_a_folder(tmp_path):
    mine = tmp_path / "mine"
    refused = pytest.raises(DistillError, match="mine: another process")
    with exclusive_lock(mine), exclusive_lock(tmp_path / "other"), refused, exclusive_lock(mine):
        raise AssertionError
    with exclusive_lock(mine):
        pass
