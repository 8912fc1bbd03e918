"""The backend openvino, and the backend auto, which measures once whether openvino is faster."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import WORDS, make_tiny_encoder

from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder, backend_choice
from hpdsearch.encoder.onnx_backend import OnnxSession
from hpdsearch.encoder.openvino_backend import OpenVinoSession
from hpdsearch.errors import EncoderError

TEXTS = ["the cat sings on the old tree", "", "gold", "fire " * 70, "Rain & wind: the king!"]


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("precision", Precision)
def test_openvino_agrees_with_onnxruntime(tmp_path: Path, precision: Precision) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny", precision=precision)
    found, expected = (Encoder.load(folder, backend=backend).encode(TEXTS) for backend in ("openvino", "onnx"))
    assert found.dtype == np.float32
    assert (found * expected).sum(axis=1).min() > 0.999


@pytest.mark.usefixtures("openvino")
def test_openvino_reads_the_default_encoder() -> None:
    texts = ["a query", "A longer sentence, about ships that cross the sea at night."]
    found, expected = (Encoder.load(DEFAULT_ENCODER, backend=name).encode(texts) for name in ("openvino", "onnx"))
    assert (found * expected).sum(axis=1).min() > 0.999


@pytest.mark.usefixtures("openvino")
def test_threads_share_an_openvino_encoder(tiny_folder: Path) -> None:
    encoder = Encoder.load(tiny_folder, backend="openvino", threads=2)
    rng = np.random.default_rng(0)
    jobs = [[" ".join(rng.choice(WORDS, rng.integers(1, 15))) for _ in range(100)] for _ in range(4)]
    expected = [encoder.encode(texts) for texts in jobs]
    with ThreadPoolExecutor(4) as pool:
        for found, vectors in zip(pool.map(encoder.encode, jobs), expected, strict=True):
            np.testing.assert_allclose(found, vectors, atol=1e-3)


class TimedSession:
    """A backend session whose calls take a given time on a clock that only they move."""

    threads = token_budget = 1

    def __init__(self, seconds: float, clock: list[float]) -> None:
        self.seconds = seconds
        self.clock = clock

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        self.clock[0] += self.seconds
        return np.ones((len(ids), 1), dtype=np.float32)


@pytest.mark.usefixtures("openvino")
def test_the_faster_backend_is_chosen_and_the_choice_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened: list[str] = []
    clock = [0.0]
    monkeypatch.setattr(backend_choice.time, "perf_counter", lambda: clock[0])

    def choose(encoder: str, **seconds: float) -> str:
        def open_session(name: str) -> TimedSession:
            opened.append(name)
            return TimedSession(seconds[name], clock)

        return backend_choice.choose_backend(
            {name: lambda name=name: open_session(name) for name in seconds}, encoder, backend_choice.encoder_trial(20)
        )  # type: ignore[misc]

    assert choose("a", onnx=0.004, openvino=0.001) == "openvino"
    assert choose("b", onnx=0.001, openvino=0.004) == "onnx"
    assert choose("c", onnx=0.002, openvino=0.002) == "onnx"
    assert len(opened) == 6
    assert choose("a", onnx=0.001, openvino=0.004) == "openvino", "as it was measured before"
    assert len(opened) == 6
    path = tmp_path / "hpdsearch" / "backends.json"
    assert sorted(json.loads(path.read_text()).values()) == ["onnx", "onnx", "openvino"]
    monkeypatch.setattr(backend_choice, "CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Abacus 9\nflags\t\t: fpu amx_bf16\n")
    assert choose("a", onnx=0.001, openvino=0.004) == "onnx", "another processor is measured again"
    assert any("Abacus 9 amx_bf16" in key for key in json.loads(path.read_text()))
    path.write_text("{")
    assert choose("a", onnx=0.004, openvino=0.001) == "openvino"
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # a file, so that no folder can be made in it
    assert choose("a", onnx=0.004, openvino=0.001) == "openvino"


@pytest.mark.usefixtures("openvino")
def test_a_model_that_openvino_cannot_load_runs_on_onnxruntime(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"none")
    openers = {
        "onnx": partial(OnnxSession, tiny_folder / "model.onnx", threads=1),
        "openvino": partial(OpenVinoSession, broken, threads=1),
    }
    assert backend_choice.choose_backend(openers, "a", backend_choice.encoder_trial(20)) == "onnx"
    assert "cannot load it" in caplog.text
    assert not (tmp_path / "cache").exists(), "the folder may be replaced by an intact one"


def load_with_auto(folder: Path, cache: Path, before: str = "") -> str:
    """Return the class of the session that auto loads in a new process, and whether it imported openvino."""
    lines = [
        before,
        "import sys; from hpdsearch.encoder import Encoder",
        f"encoder = Encoder.load({str(folder)!r}); encoder.encode(['cat'])",
        "print(type(encoder._model.session).__name__, bool(sys.modules.get('openvino')))",
    ]
    environment = {key: value for key, value in os.environ.items() if key != "HPDSEARCH_BACKEND"}
    environment["XDG_CACHE_HOME"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.stdout.strip()


def test_auto_without_openvino_measures_and_writes_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    assert load_with_auto(tiny_folder, tmp_path, "import sys; sys.modules['openvino'] = None") == "OnnxSession False"
    assert not (tmp_path / "hpdsearch").exists()


@pytest.mark.usefixtures("openvino")
def test_auto_measures_once_and_then_loads_only_what_it_chose(tiny_folder: Path, tmp_path: Path) -> None:
    first = load_with_auto(tiny_folder, tmp_path)
    assert first in ("OnnxSession True", "OpenVinoSession True")
    assert load_with_auto(tiny_folder, tmp_path) == first.replace("OnnxSession True", "OnnxSession False")


def test_the_environment_variable_overrides_auto(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPDSEARCH_BACKEND", "abacus")
    with pytest.raises(EncoderError, match=r"HPDSEARCH_BACKEND: expected one of auto, .* got 'abacus'"):
        Encoder.load(tiny_folder)
