from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file
from tiny_encoder import HIDDEN, MAX_TOKENS, N_HEADS, make_tiny_encoder, tiny_bert, tiny_tokenizer

from hpdsearch import Encoder
from hpdsearch.distillation.export.quantize import quantize_rows
from hpdsearch.distillation.export.transformer import export_encoder
from hpdsearch.distillation.spec import Precision
from hpdsearch.errors import ShapeError


def export(folder: Path, **changes: object) -> Path:
    arguments = {
        "name": "x",
        "space": "sha256:0",
        "bert": tiny_bert(),
        "head": np.ones((4, HIDDEN), dtype=np.float32),
        "n_heads": N_HEADS,
        "tokenizer": tiny_tokenizer(),
        "max_tokens": MAX_TOKENS,
    }
    return export_encoder(folder, **(arguments | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", Precision)
def test_equal_arguments_give_equal_bytes(tmp_path: Path, precision: Precision) -> None:
    first, second = (make_tiny_encoder(tmp_path / name, precision=precision) for name in ("a", "b"))
    names = {path.name for path in first.iterdir()}
    int8 = {"model.int8.onnx"} if precision is Precision.INT8 else set()
    assert names == {"encoder.json", "model.onnx", "model.safetensors", "config.json", "tokenizer.json", *int8}
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("precision", Precision)
def test_onnx_and_safetensors_hold_equal_weights(tmp_path: Path, precision: Precision) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", precision=precision)
    model = onnx.load(folder / "model.onnx")  # resolves what lies outside
    onnx.checker.check_model(folder / "model.onnx")
    stored = load_file(folder / "model.safetensors")
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert set(stored) <= set(found)
    for name, tensor in stored.items():
        np.testing.assert_array_equal(found[name], tensor)
    assert (folder / "model.onnx").stat().st_size < 20_000  # the weights are stored once


def test_int8_rows_are_off_by_at_most_half_a_step() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    matrix[3] = 0
    rows, scales = quantize_rows(matrix)
    assert rows.dtype == np.int8
    np.testing.assert_array_equal(np.abs(rows).max(axis=1), [0 if i == 3 else 127 for i in range(20)])
    assert (np.abs(rows * scales - matrix) <= scales * 0.5001).all()


def test_int8_is_a_quarter_of_float(tmp_path: Path) -> None:
    int8, floats = (
        load_file(make_tiny_encoder(tmp_path / precision.value, precision=precision) / "model.safetensors")
        for precision in (Precision.INT8, Precision.FLOAT32)
    )
    for name, tensor in floats.items():
        is_large = name != "embeddings.position_embeddings.weight" and name != "head.weight" and tensor.ndim == 2
        assert int8[name].dtype == (np.int8 if is_large else np.float32)


def test_inconsistent_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"max_tokens: expected at most 26 .* got 27"):
        export(tmp_path, max_tokens=27)
    with pytest.raises(ShapeError, match=r"head: expected shape \(dim, 32\), got \(32, 4\)"):
        export(tmp_path, head=np.ones((HIDDEN, 4)))
    with pytest.raises(ShapeError, match="expected at least"):
        export(tmp_path, bert=tiny_bert() | {"embeddings.word_embeddings.weight": np.ones((5, HIDDEN))})
    with pytest.raises(ShapeError, match="n_heads: expected a divisor of 32"):
        export(tmp_path, n_heads=5)
    assert not any(tmp_path.iterdir())


def test_the_int8_graph_may_be_left_out(tmp_path: Path) -> None:
    small, whole = (export(tmp_path / str(with_graph), int8_graph=with_graph) for with_graph in (False, True))
    names = {path.name for path in small.iterdir()}
    assert {path.name for path in whole.iterdir()} - names == {"model.int8.onnx"}
    for name in names - {"encoder.json"}:
        assert (small / name).read_bytes() == (whole / name).read_bytes()
    with_graph, without = (Encoder.load(folder, backend="onnx").encode(["the cat runs"]) for folder in (whole, small))
    np.testing.assert_array_equal(with_graph, without)
