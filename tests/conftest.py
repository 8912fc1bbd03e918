"""Fixtures that several tests use; tests/helpers is on the import path (setup.cfg)."""

import os
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import make_tiny_encoder

from hpdsearch.encoder import Encoder
from hpdsearch.errors import MissingExtraError

# Without these, a measurement on the machine at hand would choose the backend and the precision (tests/README.md).
os.environ["HPDSEARCH_BACKEND"] = "onnx"
os.environ.setdefault("HPDSEARCH_BFLOAT16", "0")

HAS_DISTILL = all(map(find_spec, ("torch", "transformers", "onnx", "onnxscript")))
NEEDS_DISTILL = 'needs pip install "hpdsearch[distill]"'


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a test module that imports a package of the extra `distill` where the extra is not installed."""
    report = yield
    missing = ("No module named 'torch'", "No module named 'transformers'", "No module named 'onnx'")
    if report.failed and not HAS_DISTILL and any(line in str(report.longrepr) for line in missing):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {NEEDS_DISTILL}")  # type: ignore[assignment]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, Any, Any]:
    """Skip a test whose fixtures need a package of the extra `distill` where the extra is not installed."""
    try:
        return (yield)
    except (ModuleNotFoundError, MissingExtraError) as error:
        _skip_if_distill_is_missing(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Skip a test that needs a package of the extra `distill` where the extra is not installed."""
    try:
        return (yield)
    except (ModuleNotFoundError, MissingExtraError) as error:
        _skip_if_distill_is_missing(error)


def _skip_if_distill_is_missing(error: ImportError) -> None:
    if HAS_DISTILL or not any(name in str(error) for name in ("torch", "transformers", "onnx")):
        raise error
    pytest.skip(NEEDS_DISTILL)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny encoder. Tests must not change it."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_folder: Path) -> Encoder:
    """Return the tiny encoder, loaded."""
    return Encoder.load(tiny_folder)
