"""Distractors: a corpus that holds them as documents is the oracle of the evaluation."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from beir_folder import CORPUS, write_beir

from hpdsearch.errors import CorpusError
from hpdsearch.evaluation import DistractorFile, evaluate_collection, read_collection, read_distractors

WORDS = ["cat", "bird", "war", "peace", "rain", "runs", "sings", "small", "cold", "gold"]


def make_texts(n: int) -> list[str]:
    """Return n different texts, none of which is a document of the collection."""
    rng = np.random.default_rng(0)
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[" ".join(rng.choice(WORDS, 5))] = None
    return list(texts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of 300 lines, among them repeated and blank ones and documents of the collection."""
    lines = [*make_texts(300), *make_texts(20), "", "  ", "The CAT runs!", "sea the ship, on the river"]
    (tmp_path / "texts.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return tmp_path / "texts.txt.gz"


@pytest.mark.parametrize("block", [7, 2048])
def test_distractors_are_documents_that_are_relevant_to_no_query(tmp_path, tiny_encoder, monkeypatch, block):
    monkeypatch.setattr("hpdsearch.evaluation.retrieval.BLOCK", block)
    texts = make_texts(200)
    alone = read_collection(write_beir(tmp_path / "alone"))
    more = [*CORPUS, *({"_id": f"0{number:04}", "text": text} for number, text in enumerate(texts))]
    together = read_collection(write_beir(tmp_path / "together", more))
    found = evaluate_collection(alone, tiny_encoder.encode, distractors=tiny_encoder.encode(texts))
    expected = evaluate_collection(together, tiny_encoder.encode)
    assert found.values == expected.values
    assert found.means["nDCG@10"] < evaluate_collection(alone, tiny_encoder.encode).means["nDCG@10"]
    assert (found.n_documents, found.n_distractors) == (len(CORPUS), 200)
    assert found.as_dict()["n_distractors"] == 200
    assert "n_distractors" not in expected.as_dict()
    assert found.n_unknown_documents == expected.n_unknown_documents


def test_drawn_distractors_are_different_texts_outside_the_collections(tmp_path, path):
    collection = read_collection(write_beir(tmp_path / "c"))
    texts = read_distractors([DistractorFile(path, 300)], [collection])
    assert sorted(texts) == sorted(make_texts(300))
    assert texts != make_texts(300), "they are drawn in a seeded order"
    assert read_distractors([DistractorFile(path, 300)], [collection]) == texts
    assert read_distractors([DistractorFile(path, 10)], [collection]) == texts[:10]
    assert read_distractors([DistractorFile(path, 10)], [collection], seed=1) != texts[:10]
    with pytest.raises(CorpusError, match=r"texts\.txt\.gz: expected 301 different texts that .* got 300"):
        read_distractors([DistractorFile(path, 301)], [collection])
    assert len(read_distractors([DistractorFile(path, 302)], [])) == 302


def test_several_files_add_up_without_repetition(tmp_path, path):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(["the sun and the moon", *make_texts(5)]) + "\n")
    texts = read_distractors([DistractorFile(path, 300), DistractorFile(other, 1)], [])
    assert len(set(texts)) == 301
    with pytest.raises(CorpusError, match=r"other\.txt: expected 2 different texts"):
        read_distractors([DistractorFile(path, 302), DistractorFile(other, 2)], [])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.txt"):
        read_distractors([DistractorFile(tmp_path / "none.txt", 1)], [])
