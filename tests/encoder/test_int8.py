"""The backend onnx-int8: its vectors agree with those in float32 and depend on no other text."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_encoder import make_tiny_encoder

from hpdsearch.distillation.export.int8_graph import smooth
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder, backend_choice
from hpdsearch.encoder.backends import Backend, open_session
from hpdsearch.encoder.runtimes import import_onnxruntime
from hpdsearch.errors import EncoderError

TEXTS = ["", "the cat sings", "fire " * 90, "Rain & wind: the king!", "A longer sentence, about ships at night."]


def multiply_here(left: npt.NDArray[np.uint8], right: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Multiply in the way of model.int8.onnx."""
    inputs = [helper.make_tensor_value_info("left", TensorProto.UINT8, left.shape)]
    constants = [
        onnx.numpy_helper.from_array(right, "right"),
        onnx.numpy_helper.from_array(np.float32(1), "one"),
        onnx.numpy_helper.from_array(np.uint8(0), "zero"),
    ]
    node = helper.make_node(
        "MatMulIntegerToFloat", ["left", "right", "one", "one", "zero"], ["product"], domain="com.microsoft"
    )
    outputs = [helper.make_tensor_value_info("product", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "product", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    product: npt.NDArray[np.float32] = (
        import_onnxruntime().InferenceSession(model.SerializeToString()).run(None, {"left": left})[0]
    )
    return product


@pytest.fixture(scope="module")
def exact_products() -> None:
    """Skip on processors whose int8 products overflow; there `auto` does not choose onnx-int8."""
    left, right = np.full((4, 64), 255, dtype=np.uint8), np.full((64, 16), 127, dtype=np.int8)
    if not (multiply_here(left, right) == 64 * 255 * 127).all():
        pytest.skip("int8 products overflow on this processor")


@pytest.mark.usefixtures("exact_products")
@pytest.mark.parametrize("name", ["tiny", "small", DEFAULT_ENCODER])
def test_int8_agrees_with_float32(tmp_path: Path, name: str) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", precision=Precision.INT8) if name == "tiny" else name
    found, expected = (Encoder.load(folder, backend=backend).encode(TEXTS) for backend in ("onnx-int8", "onnx"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * expected).sum(axis=1).min() > 0.998


@pytest.mark.parametrize("name", ["small", DEFAULT_ENCODER])
def test_a_vector_depends_on_no_other_text(name: str) -> None:
    encoder = Encoder.load(name, backend="onnx-int8")
    texts = [f"text number {number} {word}" for number, word in enumerate(["sea", "fire", "king"] * 5)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=2e-6)  # sums of another order differ in float32


def test_smoothing_moves_the_size_of_a_column_and_leaves_the_product() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(30, 20)).astype(np.float32)
    x = rng.normal(size=(50, 20)).astype(np.float32)
    x[:, 3] *= 100
    smoothing, rows, scales = smooth(weight, np.abs(x).max(axis=0))
    found = (x / smoothing) @ (rows * scales).T
    np.testing.assert_allclose(found, x @ weight.T, atol=0.02 * np.abs(x @ weight.T).max())
    columns = np.abs(x / smoothing).max(axis=0)
    assert columns.max() / columns.min() < np.abs(x).max() / np.abs(x).max(axis=0).min() / 5


def test_a_column_of_zeros_does_not_divide_by_zero() -> None:
    smoothing, rows, scales = smooth(np.zeros((3, 4), dtype=np.float32), np.zeros(4, dtype=np.float32))
    assert np.isfinite(smoothing).all()
    assert (smoothing > 0).all()
    assert not (rows * scales).any()


def test_a_folder_without_the_graph_is_an_error_and_auto_takes_float32(tiny_folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"has no model.int8.onnx; use the backend onnx"):
        Encoder.load(tiny_folder, backend="onnx-int8")
    assert Encoder.load(tiny_folder, backend="quick").backend == "onnx"


@pytest.mark.parametrize("factor", [1, -1])
def test_a_session_that_differs_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, factor: int
) -> None:
    class Session:
        threads = 1
        token_budget = 64

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, ids: np.ndarray) -> np.ndarray:
            clock[0] += 1 if self.factor == 1 else 0.1
            return np.full((len(ids), 1), self.factor, dtype=np.float32)

    clock = [0.0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(backend_choice.time, "perf_counter", lambda: clock[0])
    openers = {"onnx": partial(Session, 1), "onnx-int8": partial(Session, factor * 0.999)}
    chosen = backend_choice.choose_backend(openers, "a", backend_choice.encoder_trial(20))
    assert chosen == ("onnx-int8" if factor == 1 else "onnx")
    assert ("onnx-int8 differs from onnx" in caplog.text) == (factor == -1)


def test_the_choice_is_made_once_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = make_tiny_encoder(tmp_path / "tiny", precision=Precision.INT8)
    caplog.set_level(logging.INFO, logger="hpdsearch")
    first = Encoder.load(folder, backend="quick")
    assert first.backend in ("onnx", "onnx-int8")
    assert caplog.text.count("stored in") == 1
    assert Encoder.load(folder, backend="quick").backend == first.backend
    assert caplog.text.count("stored in") == 1


def test_a_session_is_named_by_its_backend(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", precision=Precision.INT8)
    for backend in (Backend.ONNX, Backend.ONNX_INT8):
        assert Encoder.load(folder, backend=backend).backend == backend.value
        assert open_session(folder, backend)(np.ones((2, 3), dtype=np.int64)).shape == (2, 16)
