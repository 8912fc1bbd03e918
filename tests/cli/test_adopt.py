"""The command adopt, with tiny real models."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_distillation import make_texts
from tiny_models import encode_by_hand, make_tiny_model

from hpdsearch import Encoder
from hpdsearch.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model and texts.txt."""
    folder = tmp_path_factory.mktemp("adopting")
    make_tiny_model(folder / "model", "bert", pooling="cls", prompts={"query": "song: ", "document": ""})
    (folder / "texts.txt").write_text("\n".join(make_texts()) + "\n")
    return folder


def adopt(*arguments: object) -> Result:
    """Run the command; bugs are raised."""
    result = CliRunner().invoke(main, ["adopt", *map(str, arguments), "--device", "cpu"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_command_makes_an_encoder_and_prints_how_near_it_is(folder: Path, tmp_path: Path) -> None:
    result = adopt(folder / "model", "-o", tmp_path / "mine", "--texts", folder / "texts.txt")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "mine" / "quality.json").read_text())
    assert found["n_texts"] == 240
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "model:      model (bert, cls pooling)",
        "prompts:    query 'song: ', document ''",
        "space:      the model's own, 32 dimensions",
    ]
    assert lines[3] == (
        f"cosine:     {found['cosine']:.4f} to the model in the space (lowest {found['lowest_cosine']:.4f}, queries "
        f"{found['query_cosine']:.4f}, products in int8 {found['int8_cosine']:.4f})"
    )
    assert lines[4] == f"neighbors:  {100 * found['neighbors']:.1f} % of the model's 10 nearest among 240 texts"
    assert lines[-1] == f"use it:     hpdsearch index corpus.txt --encoder {tmp_path / 'mine'}"
    expected = encode_by_hand(folder / "model", ["cat"], pooling="cls", prompt="song: ").numpy()
    ours = Encoder.load(tmp_path / "mine").encode_queries(["cat"])
    assert float((ours * expected).sum()) > 0.999
    index = ["index", str(folder / "texts.txt"), "-o", str(tmp_path / "index"), "--encoder", str(tmp_path / "mine")]
    assert CliRunner().invoke(main, index).exit_code == 0


def test_a_projection_is_described(folder: Path, tmp_path: Path) -> None:
    options = ["--dim", 12, "--texts", folder / "texts.txt", "--cache", tmp_path / "cache", "--precision", "float32"]
    result = adopt(folder / "model", "-o", tmp_path / "mine", *options, "--query-prompt", "")
    assert result.exit_code == 0, result.output
    assert "prompts:    none" in result.stdout
    assert "space:      new, 12 of the 32 directions, which explain 9" in result.stdout
    assert "among 48 texts, the projection alone " in result.stdout
    again = adopt(folder / "model", "-o", tmp_path / "json", *options, "--json")
    values = json.loads(again.stdout)
    assert (values["dim"], values["query_prompt"], values["pooling"]) == (12, "song: ", "cls")
    assert values["comparison"] == json.loads((tmp_path / "json" / "quality.json").read_text())
    given = adopt(folder / "model", "-o", tmp_path / "given", "--space", tmp_path / "mine")
    assert "space:      as given, 12 of the 32 directions" in given.stdout
    assert given.exit_code == 0, given.output
    refused = adopt(folder / "model", "-o", tmp_path / "mine", *options)
    assert refused.exit_code == 1
    assert "there is an encoder already; choose another folder, or give --overwrite" in refused.stderr


def test_without_a_folder_the_encoder_is_named_after_the_model(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert adopt(folder / "model", "--texts", folder / "texts.txt").exit_code == 0
    options = ["--texts", folder / "texts.txt", "--dim", 12, "--cache", "cache"]
    assert adopt(folder / "model", *options).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "encoders").iterdir())
    assert names == ["model", "model-12"]
    assert [Encoder.load(tmp_path / "encoders" / name).name for name in names] == names
    np.testing.assert_array_equal(
        Encoder.load("encoders/model").encode(["cat"]), Encoder.load(tmp_path / "encoders" / "model").encode(["cat"])
    )
