"""Fixtures: an encoder whose vectors do not depend on the other texts of a batch, and a corpus."""

from pathlib import Path

import pytest
from sharding import make_corpus
from tiny_encoder import make_tiny_static

from hpdsearch.encoder import Encoder


@pytest.fixture(scope="session")
def static_encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Return an encoder of the same space as the tiny one."""
    return Encoder.load(make_tiny_static(tmp_path_factory.mktemp("encoders") / "static"))


@pytest.fixture
def corpus_file(tmp_path: Path) -> Path:
    """Return a .txt file of 60 documents."""
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"{document.text}\n" for document in make_corpus(60)))
    return path
