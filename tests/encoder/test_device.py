"""The device of an encoder. No test needs a GPU: torch-bfloat16, which a GPU runs, runs on the CPU in the same way."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch import Document, Index
from hpdsearch.encoder import DEFAULT_ENCODER, Backend, Device, Encoder, device
from hpdsearch.encoder.backends import choose_for_device
from hpdsearch.errors import EncoderError

torch = pytest.importorskip("torch", reason="torch is not installed")

TEXTS = ["the cat sings on the old tree", "", "gold", "fire " * 70, "Rain & wind: the king!"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let torch report a GPU, whose driver is there."""
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    monkeypatch.setattr(device, "DRIVER_FILES", (tmp_path,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch report no GPU."""
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["tiny", DEFAULT_ENCODER])
def test_bfloat16_agrees_with_float32(tiny_folder: Path, name: str) -> None:
    folder = tiny_folder if name == "tiny" else name
    half = Encoder.load(folder, backend="torch-bfloat16", device="cpu")
    assert (half.backend, half.device) == ("torch-bfloat16", "cpu")
    found = half.encode(TEXTS)
    expected = Encoder.load(folder, backend="onnx").encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    cosines = (found * expected).sum(axis=1)
    assert cosines.min() > 0.999
    assert (found != expected).any(), "the layers are computed in bfloat16"


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("backend", "wanted", "expected"),
    [
        ("auto", "auto", "torch-bfloat16"),
        ("auto", "cuda", "torch-bfloat16"),
        ("auto", "cpu", "auto"),
        ("quick", "auto", "quick"),
        ("torch", "cuda", "torch"),
        ("onnx", "auto", "onnx"),
    ],
)
def test_with_a_gpu_auto_is_bfloat16_on_it(backend: str, wanted: str, expected: str) -> None:
    assert choose_for_device(Backend(backend), Device(wanted)).value == expected


@pytest.mark.usefixtures("gpu")
def test_the_environment_variable_overrides_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPDSEARCH_BACKEND", "onnx-int8")
    assert choose_for_device(Backend.AUTO, Device.AUTO) is Backend.ONNX_INT8
    with pytest.raises(EncoderError, match="HPDSEARCH_BACKEND: expected auto, torch or torch-bfloat16 for the"):
        choose_for_device(Backend.AUTO, Device.CUDA)


@pytest.mark.usefixtures("gpu")
def test_a_backend_of_the_cpu_does_not_go_with_a_gpu(tiny_folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"backend: expected auto, torch .* for the device cuda, got onnx"):
        Encoder.load(tiny_folder, backend="onnx", device="cuda")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("backend", ["auto", "torch", "torch-bfloat16"])
def test_a_missing_gpu_is_an_error_that_names_the_cpu(tiny_folder: Path, backend: str) -> None:
    message = "device cuda: expected a GPU that torch .* can use, found none; .* or use the device cpu"
    with pytest.raises(EncoderError, match=message):
        Encoder.load(tiny_folder, backend=backend, device="cuda")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu(tiny_folder: Path) -> None:
    encoder = Encoder.load(tiny_folder, device="auto")
    assert (encoder.backend, encoder.device) == ("onnx", "cpu")


def test_any_other_device_is_an_error(tiny_folder: Path) -> None:
    with pytest.raises(EncoderError, match="device: expected one of auto, cpu, cuda, got 'tpu'"):
        Encoder.load(tiny_folder, device="tpu")


def test_a_static_encoder_runs_on_the_cpu(tmp_path: Path) -> None:
    assert Encoder.load(make_tiny_static(tmp_path / "static"), device="cuda").device == "cpu"


def test_without_a_driver_torch_is_not_imported(tiny_folder: Path, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from hpdsearch.encoder import Encoder, device

device.DRIVER_FILES = (Path({str(tmp_path / "driver")!r}),)
Encoder.load({str(tiny_folder)!r})
sys.exit("torch" in sys.modules)
"""
    environment = {"PYTHONPATH": ":".join(sys.path), "XDG_CACHE_HOME": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0


def test_an_index_records_the_precision_and_a_change_in_another_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    monkeypatch.setenv("HPDSEARCH_BACKEND", "torch-bfloat16")
    with Index.build(tmp_path / "index", [Document("1", "the cat sings")], encoder=folder, device="cpu") as index:
        assert index.info().backend == "torch-bfloat16"
        index.add([Document("2", "fire and rain")])
    assert not caplog.text
    monkeypatch.setenv("HPDSEARCH_BACKEND", "onnx")
    with Index.open(tmp_path / "index", device="cpu") as index:
        index.add([Document("3", "the iron queen")])
        assert index.search("the iron queen", 1, mode="dense")[0].doc_id == "3"
    assert "the backend torch-bfloat16 encoded the index, and onnx encodes the new documents" in caplog.text


@pytest.mark.usefixtures("no_gpu")
def test_an_index_without_a_gpu_is_not_begun(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(EncoderError, match="device cuda: expected a GPU"):
        Index.build(tmp_path / "index", [Document("1", "the cat sings")], encoder=tiny_folder, device="cuda")
    assert not (tmp_path / "index").exists()
    Index.build(tmp_path / "index", [Document("1", "the cat sings")], encoder=tiny_folder).close()
    with Index.open(tmp_path / "index", device="cuda") as index:
        assert index.search("cat", 1)[0].doc_id == "1", "queries are encoded on the CPU"
        with pytest.raises(EncoderError, match="device cuda: expected a GPU"):
            index.add([Document("2", "fire and rain")])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_gives_the_vectors_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    on_gpu = Encoder.load(DEFAULT_ENCODER, device="cuda")
    assert (on_gpu.backend, on_gpu.device) == ("torch-bfloat16", "cuda")
    expected = Encoder.load(DEFAULT_ENCODER, backend="onnx").encode(TEXTS)
    assert (on_gpu.encode(TEXTS) * expected).sum(axis=1).min() > 0.999
    with Index.build(tmp_path / "index", [Document("1", "the cat sings")], device="cuda") as index:
        assert index.info().backend == "torch-bfloat16"
        index.search("cat")
        assert index._encoders._loaded is not None
        assert index._encoders._loaded.device == "cpu"
