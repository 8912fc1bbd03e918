"""The runtimes of a teacher: openvino agrees with torch, and a measurement chooses among them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoder import WORDS
from tiny_teacher import make_tiny_teacher

from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.teacher import runtime as runtimes
from hpdsearch.distillation.teacher import teacher as teachers
from hpdsearch.distillation.teacher.runtime import Runtime
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache

pytest.importorskip("openvino", reason="openvino is not installed")

TEXTS = [" ".join(WORDS[(n + k) % len(WORDS)] for k in range(n % 17)) for n in range(60)]


@pytest.fixture(autouse=True)
def every_text_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let a few texts be worth a measurement, and store its result in a folder of the test."""
    monkeypatch.delenv("HPDSEARCH_BFLOAT16", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtimes, "fastest_dtype", lambda _: torch.float32)
    monkeypatch.setattr(teachers, "MIN_TEXTS_TO_CHOOSE", 40)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the measurement choose openvino; return the names of the runtimes among which it chose."""
    names: list[str] = []

    def choose(openers: dict[str, Callable[[], object]], *_: object) -> str:
        names.extend(openers)
        return "openvino"

    monkeypatch.setattr(runtimes, "choose_backend", choose)
    return names


def encode_in_float32(folder: Path) -> Matrix:
    return Teacher.load(folder, device="cpu", dtype=torch.float32).encode(TEXTS)


@pytest.mark.parametrize("mpnet", [False, True])
@pytest.mark.usefixtures("chosen")
def test_openvino_gives_the_vectors_of_torch_for_texts_of_any_length(tmp_path: Path, mpnet: bool) -> None:
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    folder = make_tiny_teacher(
        tmp_path / "t", mpnet=mpnet, prompt="the king: ", pooling=pooling, dense=(10, "activation.Tanh")
    )
    teacher = Teacher.load(folder, device="cpu")
    found = teacher.encode(TEXTS)
    assert teacher.runtime is Runtime.OPENVINO
    assert found.dtype == np.float32
    cosines = (found * encode_in_float32(folder)).sum(axis=1)
    assert cosines.mean() > 0.9995
    assert cosines.min() > 0.998


def test_the_cache_is_filled_by_the_chosen_runtime(tmp_path: Path, chosen: list[str]) -> None:
    folder = make_tiny_teacher(tmp_path / "t")
    teacher = Teacher.load(folder, device="cpu")
    cache = open_cache(teacher, tmp_path / "embeddings")
    embed(teacher, TEXTS, cache, texts_per_shard=7)
    assert chosen == ["torch-float32", "torch-bfloat16", "openvino"]
    assert teacher.runtime is Runtime.OPENVINO
    assert teacher.sha256 == Teacher.load(folder, device="cpu", dtype=torch.float32).sha256
    assert (cache.embeddings(TEXTS) * encode_in_float32(folder)).sum(axis=1).mean() > 0.9995


def test_few_texts_or_a_given_precision_choose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: list[str]
) -> None:
    folder = make_tiny_teacher(tmp_path / "t")
    Teacher.load(folder, device="cpu").encode(TEXTS[:39])
    Teacher.load(folder, device="cpu", dtype=torch.bfloat16).encode(TEXTS)
    monkeypatch.setenv("HPDSEARCH_BFLOAT16", "0")
    Teacher.load(folder, device="cpu").encode(TEXTS)
    assert not chosen


def test_the_measured_choice_is_named_and_made_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="hpdsearch")
    folder = make_tiny_teacher(tmp_path / "t")
    found = []
    for _ in range(2):
        teacher = Teacher.load(folder, device="cpu")
        teacher.encode(TEXTS)
        assert f"teacher t: {teacher.runtime.value}" in caplog.text
        found.append(teacher.runtime)
    assert found[0] is found[1]
    assert caplog.text.count("stored in") == 1


def test_a_runtime_that_differs_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    n_threads = torch.get_num_threads()

    class Wrong:
        def __init__(self, model: torch.nn.Module, threads: int) -> None:
            assert threads == n_threads, "of torch, as in the encoding"
            self.width = model.config.hidden_size

        def __call__(self, ids: np.ndarray, _: np.ndarray) -> np.ndarray:
            return np.random.default_rng(0).normal(size=(*ids.shape, self.width)).astype(np.float32)

    monkeypatch.setattr(runtimes, "compile_with_openvino", Wrong)
    folder = make_tiny_teacher(tmp_path / "t")
    teacher = Teacher.load(folder, device="cpu")
    teacher.encode(TEXTS)
    assert teacher.runtime is not Runtime.OPENVINO
    assert "openvino differs from torch-float32 on this processor and is not used" in caplog.text


def test_a_teacher_that_openvino_cannot_convert_runs_in_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from hpdsearch.encoder.runtimes import import_openvino

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(import_openvino(), "convert_model", fail)
    teacher = Teacher.load(make_tiny_teacher(tmp_path / "t"), device="cpu")
    assert teacher.encode(TEXTS).shape == (len(TEXTS), teacher.dim)
    assert teacher.runtime is not Runtime.OPENVINO
    assert "cannot convert the teacher: no such operation" in caplog.text
