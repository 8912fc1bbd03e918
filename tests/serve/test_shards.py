"""The service on an index in shards: it answers and changes it as an index without shards."""

from pathlib import Path

import pytest

from hpdsearch import Document, Encoder, Index

DOCUMENTS = [
    Document("s1", "an instrument for measuring earthquakes", "seismograph", {"year": 1858}),
    Document("j1", "a feeling of great happiness", "joy", {"year": 1400}),
    Document("c1", "the old cat sleeps on the boat", "cat", {"year": 1300}),
    Document("notes/README.md", "the moon shines on the old boat", "", {"year": None}),
    Document("a b", "a morbid fear of spiders", "arachnophobia", {"year": 1920}),
]


@pytest.fixture
def folder(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Return the folder of an index of DOCUMENTS in three shards."""
    Index.build(tmp_path / "words", DOCUMENTS, encoder=tiny_encoder, shards=3, processes=1).close()
    return tmp_path / "words"


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_searches_find_documents_of_all_shards(client, mode) -> None:
    found = client.post("/search", json={"query": "the old boat", "k": 5, "mode": mode}).json()["hits"]
    assert found[0]["doc_id"] in ("c1", "notes/README.md")
    assert len(found) == (5 if mode != "lexical" else 2)


def test_added_and_deleted_documents_are_seen_by_the_next_search(client, folder) -> None:
    assert client.post("/documents", json={"doc_id": "new", "text": "a ship of gold"}).status_code == 200
    query = {"query": "ship of gold", "mode": "lexical"}
    assert client.post("/search", json=query).json()["hits"][0]["doc_id"] == "new"
    with Index.open(folder) as index:
        index.delete(["new"])
    assert all(hit["doc_id"] != "new" for hit in client.post("/search", json=query).json()["hits"])


def test_the_description_tells_no_path(client, tmp_path) -> None:
    answer = client.get("/indexes/words")
    assert answer.status_code == 200
    assert str(tmp_path) not in answer.text
    assert "shard-00000" in answer.text
