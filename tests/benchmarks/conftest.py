"""Share a corpus file, an index folder and a result among the tests of the benchmarks."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document

TEXTS = ["cat and dog", "the green river", "old stone house", "song of the moon", "iron ship at sea", "red fire"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Write a corpus of 30 documents."""
    path = tmp_path / "corpus.jsonl"
    records = [{"id": f"d{i}", "text": f"{TEXTS[i % 6]} {i}", "title": "book", "size": i} for i in range(30)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def index_folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Build an index of 30 documents."""
    documents = [Document(f"d{i}", f"{TEXTS[i % 6]} {i}", metadata={"size": i}) for i in range(30)]
    Index.build(tmp_path / "index", documents, encoder=tiny_encoder).close()
    return tmp_path / "index"


@pytest.fixture
def latency_result() -> dict[str, Any]:
    """Return a result with two measurements and one target."""
    results = importlib.import_module("benchmarks.common.results")
    query = results.measurement("query", "ms", [14, 15, 19.5], percentiles=True)
    rate = results.measurement("rate", "documents/s", [3150.4])
    return results.result(
        "latency",
        {"corpus": {"name": "c.txt", "sha256": "12"}, "filters": ["a = 1"]},
        [query, rate],
        [results.target(query, at_most=15)],
        versions={"torch": "2.13.0"},
    )
