"""Fixtures that several tests use; tests/helpers is on the import path (setup.cfg)."""

import os
from pathlib import Path

import pytest
from tiny_encoder import make_tiny_encoder

from hpdsearch.encoder import Encoder

# Without these, a measurement on the machine at hand would choose the backend and the precision (tests/README.md).
os.environ["HPDSEARCH_BACKEND"] = "onnx"
os.environ.setdefault("HPDSEARCH_BFLOAT16", "0")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny encoder; not to be altered."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_folder: Path) -> Encoder:
    """Return the tiny encoder, loaded."""
    return Encoder.load(tiny_folder)
