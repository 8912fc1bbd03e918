"""Fixture: the folder of a small index."""

from pathlib import Path

import pytest
from index_folders import DOCUMENTS

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Return the folder of an index of DOCUMENTS."""
    Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder).close()
    return tmp_path / "index"
