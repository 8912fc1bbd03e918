"""Test the startup benchmark: its figures by hand, timed processes, and the script of the baseline."""

import importlib
import json
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

startup = importlib.import_module("benchmarks.product.startup")
st_query = importlib.import_module("sentence_transformers_query")

QUERIES = ["a small cat", "ship", "old song"]


def test_new_processes_are_timed_with_the_query_of_their_round(index_folder):
    commands = {
        **startup.own_commands(index_folder),
        startup.PEER: [sys.executable, "-c", "import sys, time; time.sleep(0.2); print(sys.argv[1])", "{query}"],
    }
    seconds = startup.measure(commands, QUERIES, 1)
    assert list(seconds) == [startup.PYTHON, startup.HELP, startup.QUERY, startup.PEER]
    assert all(len(values) == 1 for values in seconds.values())
    assert seconds[startup.PYTHON][0] < seconds[startup.QUERY][0]
    assert seconds[startup.PEER][0] >= 0.2


def test_a_program_without_hits_is_an_error():
    with pytest.raises(SystemExit, match="expected hits, got no output"):
        startup.measure({"silent": [sys.executable, "-c", "pass", "{query}"]}, QUERIES, 1)


def test_figures_by_hand():
    seconds = {startup.HELP: [0.2, 0.3], startup.QUERY: [0.5, 0.25], startup.PEER: [4, 3]}
    measurements, targets = startup.figures(seconds)
    assert measurements[-1]["values"] == [8, 12]
    assert [(item["measured"], item["met"]) for item in targets] == [(0.25, True), (0.375, True), (10, True)]


def test_index_and_baseline_must_have_the_same_number_of_documents(index_folder, tmp_path):
    (tmp_path / "documents.json").write_text(json.dumps([{}] * 30))
    assert startup.require_same_count(index_folder, tmp_path / "documents.json") == 30
    (tmp_path / "documents.json").write_text(json.dumps([{}] * 29))
    with pytest.raises(SystemExit, match="expected the 29 documents of --corpus, got 30"):
        startup.require_same_count(index_folder, tmp_path / "documents.json")


def test_random_embeddings_have_the_baselines_shape_and_unit_length():
    vectors = startup.random_embeddings(7)
    assert vectors.shape == (7, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


class AxisModel:
    """Stands for a sentence-transformers model: text number i of those it knows is the i-th axis."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def encode(self, texts: list[str], **_: bool) -> np.ndarray:
        return np.eye(len(self.texts), dtype=np.float32)[[self.texts.index(text) for text in texts]]


def test_the_baseline_encodes_title_and_text_and_ranks_by_cosine():
    documents = [{"id": str(i), "title": "", "text": f"text {i}"} for i in range(11)]
    documents.append({"id": "11", "title": "title", "text": "text 11"})
    model = AxisModel([*(f"text {i}" for i in range(11)), "title\ntext 11"])
    embeddings = st_query.embed(model, documents)
    np.testing.assert_array_equal(embeddings, np.eye(12))
    embeddings[3, 5], embeddings[7, 5] = 0.5, -0.5
    found = st_query.find_best(model, documents, embeddings, "text 5")
    assert len(found) == 10
    assert [(score, document["id"]) for score, document in found[:2]] == [(1.0, "5"), (0.5, "3")]
    assert all(score == 0 for score, _ in found[2:])
    assert len(st_query.find_best(model, documents[:3], embeddings[:3], "text 0")) == 3
