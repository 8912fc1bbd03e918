import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hpdsearch.encoder import DEFAULT_ENCODER, Encoder, built_in_names, read_card
from hpdsearch.errors import EncoderError


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def change_card(folder: Path, **fields: object) -> None:
    card = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps(card | fields))


def test_the_card_holds_name_dim_and_space(tiny_folder: Path) -> None:
    encoder, card = Encoder.load(tiny_folder), json.loads((tiny_folder / "encoder.json").read_text())
    assert card["format"] == 1
    assert (encoder.name, encoder.dim, encoder.max_tokens, encoder.space) == ("tiny", 16, 20, card["space"])
    assert encoder.sha256 == f"sha256:{hashlib.sha256((tiny_folder / 'encoder.json').read_bytes()).hexdigest()}"
    assert set(card["sha256"]) == {path.name for path in tiny_folder.iterdir()} - {"encoder.json"}


def test_the_error_for_an_unknown_name_lists_the_built_in_encoders() -> None:
    with pytest.raises(
        EncoderError, match=f"no-such: expected .* built-in encoder .*{DEFAULT_ENCODER}.* found neither"
    ):
        Encoder.load("no-such")


def test_a_folder_without_a_card_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"expected an encoder folder, but there is no encoder\.json"):
        Encoder.load(tmp_path)


def test_the_error_for_a_newer_format_names_both_numbers(folder: Path) -> None:
    change_card(folder, format=4)
    with pytest.raises(EncoderError, match="expected format 1 to 3, got 4; upgrade hpdsearch"):
        Encoder.load(folder)


@pytest.mark.parametrize("card", ["{", "[]", "{}", '{"format": "1"}', '{"format": 1, "name": "x"}'])
def test_a_broken_card_is_an_error_of_the_encoder(folder: Path, card: str) -> None:
    (folder / "encoder.json").write_text(card)
    with pytest.raises(EncoderError, match=r"encoder\.json: expected"):
        Encoder.load(folder)


def test_a_card_without_a_checksum_is_refused(folder: Path) -> None:
    change_card(folder, sha256={"config.json": "0"})
    with pytest.raises(EncoderError, match=r"expected the checksum of model\.onnx"):
        Encoder.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "tokenizer.json", "config.json"])
def test_errors_name_missing_and_altered_files(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(EncoderError, match=f"{name}: the file was altered or truncated"):
        Encoder.load(folder)
    (folder / name).unlink()
    with pytest.raises(EncoderError, match=f"{name}: the file is missing"):
        Encoder.load(folder)


@pytest.mark.parametrize(("name", "advice"), [("model.onnx", "cannot load it"), ("tokenizer.json", "cannot load it")])
def test_errors_name_files_that_do_not_parse(folder: Path, name: str, advice: str) -> None:
    (folder / name).write_bytes(b"nonsense")
    sums = json.loads((folder / "encoder.json").read_text())["sha256"]
    change_card(folder, sha256=sums | {name: hashlib.sha256(b"nonsense").hexdigest()})
    with pytest.raises(EncoderError, match=f"{name}: .*{advice}"):
        Encoder.load(folder)


def test_a_built_in_name_takes_precedence_over_a_folder_of_that_name(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_folder, tmp_path / DEFAULT_ENCODER)
    monkeypatch.chdir(tmp_path)
    assert Encoder.load(DEFAULT_ENCODER).name == DEFAULT_ENCODER
    assert Encoder.load(f"./{DEFAULT_ENCODER}").name == "tiny"
    assert Encoder.load(Path(DEFAULT_ENCODER)).name == "tiny"


def test_the_location_of_an_encoder_opens_it_again(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_folder.parent)
    location = Encoder.load("tiny").location
    monkeypatch.chdir(tmp_path)
    assert Encoder.load(location).sha256 == Encoder.load(tiny_folder).sha256
    assert Encoder.load(DEFAULT_ENCODER).location == DEFAULT_ENCODER


def test_built_in_encoders_are_intact_and_name_themselves() -> None:
    for name in built_in_names():
        assert Encoder.load(name).name == name


def test_read_card_returns_what_was_written(tiny_folder: Path) -> None:
    card = read_card(tiny_folder)
    assert (card.name, card.dim, card.format) == ("tiny", 16, 1)
