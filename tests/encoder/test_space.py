import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hpdsearch.encoder import read_card, read_space, write_space
from hpdsearch.encoder.weights import load_weights
from hpdsearch.errors import EncoderError, ShapeError


@pytest.fixture
def components() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0][:5].astype(np.float32)


def test_a_space_is_read_as_it_was_written(tmp_path: Path, components: np.ndarray) -> None:
    written = write_space(tmp_path / "space", teacher="big", teacher_hash="ab", components=components)
    read = read_space(tmp_path / "space")
    assert (read.teacher, read.teacher_hash, read.dim, read.teacher_dim) == ("big", "ab", 5, 12)
    np.testing.assert_array_equal(read.components, components)
    assert read.id == written.id == f"sha256:{hashlib.sha256((tmp_path / 'space/space.json').read_bytes()).hexdigest()}"


def test_the_id_depends_on_teacher_and_projection_only(tmp_path: Path, components: np.ndarray) -> None:
    ids = [
        write_space(tmp_path / str(number), teacher=teacher, teacher_hash=teacher_hash, components=rows).id
        for number, (teacher, teacher_hash, rows) in enumerate(
            [
                ("big", "ab", components),
                ("big", "ab", components),
                ("other", "ab", components),
                ("big", "cd", components),
                ("big", "ab", components[:4]),
            ]
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_projection_is_a_matrix_product_scaled_to_unit_length(tmp_path: Path, components: np.ndarray) -> None:
    space = write_space(tmp_path, teacher="big", teacher_hash="ab", components=components)
    row = np.arange(12, dtype=np.float32)
    expected = np.array([component @ row for component in components])
    expected /= np.sqrt((expected**2).sum())
    np.testing.assert_allclose(space.project(row[None])[0], expected, atol=1e-6)
    with pytest.raises(ShapeError, match=r"expected shape \(n, 12\), got \(1, 3\)"):
        space.project(np.ones((1, 3), dtype=np.float32))


def test_rows_must_be_orthogonal_but_may_have_any_length(tmp_path: Path, components: np.ndarray) -> None:
    scaled = components * np.array([[1], [1.2], [2], [3], [9]], dtype=np.float32)
    space = write_space(tmp_path, teacher="big", teacher_hash="ab", components=scaled)
    np.testing.assert_array_equal(space.components, scaled)
    for bad in (components + 1, components * np.array([[1], [1], [1], [1], [0]], dtype=np.float32)):
        with pytest.raises(ShapeError, match="expected orthogonal rows"):
            write_space(tmp_path, teacher="big", teacher_hash="ab", components=bad)


def test_damaged_missing_and_newer_spaces_are_errors(tmp_path: Path, components: np.ndarray) -> None:
    write_space(tmp_path, teacher="big", teacher_hash="ab", components=components)
    card = json.loads((tmp_path / "space.json").read_text())
    (tmp_path / "space.json").write_text(json.dumps(card | {"format": 9}))
    with pytest.raises(EncoderError, match="expected format 1, got 9"):
        read_space(tmp_path)
    (tmp_path / "space.json").write_text(json.dumps(card))
    projection = tmp_path / "projection.safetensors"
    projection.write_bytes(projection.read_bytes()[:-1] + b"\x00")
    with pytest.raises(EncoderError, match="altered or truncated"):
        read_space(tmp_path)
    projection.unlink()
    with pytest.raises(EncoderError, match=r"no projection\.safetensors"):
        read_space(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_projection_with_the_right_checksum_but_other_contents_is_an_error(
    tmp_path: Path, components: np.ndarray, content: bytes
) -> None:
    write_space(tmp_path, teacher="big", teacher_hash="ab", components=components)
    card = json.loads((tmp_path / "space.json").read_text())
    (tmp_path / "projection.safetensors").write_bytes(content)
    checksums = {"projection.safetensors": hashlib.sha256(content).hexdigest()}
    (tmp_path / "space.json").write_text(json.dumps(card | {"sha256": checksums}))
    with pytest.raises(EncoderError, match="expected the tensor components"):
        read_space(tmp_path)
    for odd in (None, [], {}, "x", 7):
        (tmp_path / "space.json").write_text(json.dumps(card | {"sha256": odd}))
        with pytest.raises(EncoderError, match="expected the fields of a space"):
            read_space(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[" * 3000])
def test_weights_that_are_no_safetensors_file_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(EncoderError, match=r"model\.safetensors: expected a safetensors file"):
        load_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "card", ["", "[]", "[" * 100_000, '{"a":' * 100_000, "\udcff", '{"format": 1}', "1e999", "NaN"]
)
def test_a_card_of_other_json_is_an_error(tmp_path: Path, components: np.ndarray, card: str) -> None:
    write_space(tmp_path, teacher="big", teacher_hash="ab", components=components)
    for name, read in (("space.json", read_space), ("encoder.json", read_card)):
        (tmp_path / name).write_text(card, errors="surrogateescape")
        with pytest.raises(EncoderError, match=name):
            read(tmp_path)
