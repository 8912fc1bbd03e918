"""Exported documents and vectors are those of the index, and make an equal index again."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from hpdsearch import Document, EncodedDocument, Index, read_encoded
from hpdsearch.errors import CorpusError, QueryError
from hpdsearch.records import Passage

TEXT = "The fear of spiders is a great fear. " * 30
DOCUMENTS = [
    Document("a", "fear of spiders", "phobia", {"year": 2020, "tags": ["é", None]}),
    Document("b", TEXT),
    Document("c", "joy"),
    Document("d", "great happiness", source="/corpus/d.txt"),
]


@pytest.fixture
def index(tmp_path, tiny_encoder):
    """Return an index that was changed, so that rows and documents have gaps."""
    with Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder) as built:
        built.delete("c")
        built.add([replace(DOCUMENTS[0], text="a new fear of spiders")])
        built.compact()
        yield built


def export(index, to, path):
    with path.open("wb") as file:
        assert index.export(file, to) == len(index)
    return path


@pytest.mark.parametrize("to", ["parquet", "jsonl"])
def test_an_import_gives_equal_hits_scores_and_stored_vectors(index, tmp_path, tiny_encoder, to):
    if to == "parquet":
        pytest.importorskip("pyarrow")
    reader = read_encoded(export(index, to, tmp_path / f"export.{to}"))
    assert (reader.space, reader.dim) == (tiny_encoder.space, tiny_encoder.dim)
    with Index.build(tmp_path / "copy", reader, encoder=tiny_encoder) as copy:
        for mode in ("dense", "lexical", "hybrid"):
            assert copy.search(["spiders", "joy"], mode=mode) == index.search(["spiders", "joy"], mode=mode)
        pairs = list(zip(index.documents(), copy.documents(), strict=True))
        assert len(pairs) == 3
        for ours, theirs in pairs:
            assert ours == theirs
            np.testing.assert_array_equal(ours.vectors, theirs.vectors)


def test_exported_vectors_are_those_of_the_encoder(index, tiny_encoder):
    by_id = {document.doc_id: document for document in index.documents()}
    expected = tiny_encoder.encode(["great happiness"])
    np.testing.assert_allclose(by_id["d"].vectors, expected, atol=1e-3)
    assert len(by_id["b"].passages) > 1
    assert by_id["a"].metadata == {"year": 2020, "tags": ["é", None]}
    assert by_id["d"].source == "/corpus/d.txt"


@pytest.mark.parametrize("to", ["qdrant-jsonl", "opensearch-bulk"])
def test_search_engines_get_a_record_a_passage(index, tmp_path, to):
    lines = [json.loads(line) for line in export(index, to, tmp_path / "export").read_text().splitlines()]
    if to == "qdrant-jsonl":
        ids = [line["id"] for line in lines]
        records = [{**line["payload"], "vector": line["vector"]} for line in lines]
    else:
        ids = [line["index"]["_id"] for line in lines[::2]]
        records = lines[1::2]
    passages = [(document, number) for document in index.documents() for number in range(len(document.passages))]
    assert len(set(ids)) == len(records) == len(passages)
    for record, (document, number) in zip(records, passages, strict=True):
        passage = document.passages[number]
        assert record["doc_id"] == document.doc_id
        assert record["text"] == document.text[passage.start : passage.end]
        assert record["metadata"] == document.metadata
        np.testing.assert_allclose(record["vector"], document.vectors[number], atol=1e-8)


def test_an_unknown_format_is_an_error(index):
    with pytest.raises(QueryError, match="expected one of parquet, jsonl, qdrant-jsonl, opensearch-bulk, got 'csv'"):
        index.export(io.BytesIO(), "csv")


def test_documents_with_vectors_are_not_encoded(index, tmp_path, tiny_encoder, monkeypatch):
    documents = list(index.documents())
    monkeypatch.setattr(type(tiny_encoder), "encode", lambda self, texts, **_: np.empty((0, tiny_encoder.dim)))
    with Index.build(tmp_path / "copy", documents, encoder=tiny_encoder) as copy:
        assert copy.report.n_reused == 3


def unit(dim):
    return np.eye(1, dim, dtype=np.float32)


WRONG = {
    "expected vectors of space": lambda dim: {"space": "sha256:00"},
    r"expected float vectors of shape \(1, ": lambda dim: {"vectors": unit(dim + 1)},
    "one for each passage": lambda dim: {"vectors": np.repeat(unit(dim), 2, axis=0)},
    "expected vectors of unit length, got one of length 2": lambda dim: {"vectors": unit(dim) * 2},
    "got one of length 0": lambda dim: {"vectors": unit(dim) * 0},
    "NaN or infinity": lambda dim: {"vectors": unit(dim) * np.nan},
    "expected passages within the 3 characters of the text, got 0 to 4": lambda dim: {"passages": (Passage(0, 4),)},
}


@pytest.mark.parametrize("message", WRONG)
def test_vectors_that_do_not_fit_are_refused(tmp_path, tiny_encoder, message):
    good = EncodedDocument("x", "joy", vectors=unit(tiny_encoder.dim), space=tiny_encoder.space)
    wrong = replace(good, **WRONG[message](tiny_encoder.dim))
    with pytest.raises(CorpusError, match=message):
        Index.build(tmp_path / "copy", [wrong], encoder=tiny_encoder)
    with Index.build(
        tmp_path / "copy", [replace(wrong, doc_id="y"), good], encoder=tiny_encoder, on_error="skip"
    ) as ok:
        assert [document.doc_id for document in ok.documents()] == ["x"]
