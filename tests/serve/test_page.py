"""The page's files, and the requests that it needs: places on a map, times of encoding, names of sources."""

import re

import numpy as np
import pytest

from hpdsearch import Index
from hpdsearch.errors import QueryError
from hpdsearch.serve.result_map import place_documents


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert re.findall(r"\son\w+=", page.text) == []
    files = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert len(files) == 3
    scripts = {"main.js"}
    for name in [*files, *(f"page/{name}" for name in scripts)]:
        assert client.get(f"/{name}").status_code == 200
    seen: set[str] = set()
    while scripts - seen:
        name = (scripts - seen).pop()
        seen.add(name)
        text = client.get(f"/page/{name}").text
        scripts |= set(re.findall(r'from "\./([\w.]+)"', text))
        assert "innerHTML" not in text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(seen) > 5


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e%2fapp.py", "style.css%00", "index.html/x"])
def test_only_files_of_the_page_are_sent(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_needs_the_token_too(serve):
    client = serve(token="a-long-secret")
    assert client.get("/").status_code == 401
    assert client.get("/", auth=("me", "a-long-secret")).status_code == 200


def test_an_answer_tells_the_time_of_encoding(client):
    answer = client.post("/search", json={"query": "fear of spiders"}).json()
    assert 0 < answer["encode_milliseconds"] <= answer["milliseconds"]
    assert client.post("/search", json={"query": "fear", "mode": "lexical"}).json()["encode_milliseconds"] == 0


def test_a_document_shows_the_name_of_its_file_without_the_folder(client):
    assert "source" not in client.get("/documents/s1").json()
    answer = client.get("/documents/s1?source=true")
    assert answer.json()["source"] == "s.txt:3"
    assert "/home" not in answer.text


def test_documents_are_placed_where_their_vectors_differ_most(client, folder):
    doc_ids = ["a b", "s1", "j1", "c1", "notes/README.md"]
    answer = client.post("/map", json={"doc_ids": doc_ids, "query": "fear of spiders"}).json()
    with Index.open(folder) as index:
        means = np.stack([of_document.mean(axis=0) for of_document in index.vectors(doc_ids)])
    vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    centered = vectors - vectors.mean(axis=0)
    variance, directions = np.linalg.eigh(centered.T @ centered)
    expected = centered @ directions[:, [-1, -2]]
    found = np.array(answer["documents"])
    assert variance[-1] >= variance[-2]
    for axis in (0, 1):
        assert abs(np.corrcoef(found[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1, abs=1e-3)
    assert np.abs(found).max() <= 1
    assert len(answer["query"]) == 2


def test_a_map_of_unknown_or_too_many_documents_is_refused(client):
    unknown = client.post("/map", json={"doc_ids": ["s1", "nothing"]})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "words: doc_id 'nothing' is not in the index"
    assert client.post("/map", json={"doc_ids": ["s1"] * 101}).status_code == 422
    assert client.post("/map", json={"doc_ids": ["s1"], "query": " "}).status_code == 422
    assert client.post("/map", json={"doc_ids": []}).json() == {"documents": [], "query": None}


def test_equal_documents_and_single_ones_have_a_place():
    assert place_documents([np.array([[1.0, 0.0]])]) == ([[0.0, 0.0]], None)
    both, query = place_documents([np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])], np.array([[0.0, 1.0]]))
    assert both == [[0.0, 0.0], [0.0, 0.0]]
    assert query is not None
    assert place_documents([], None) == ([], None)


def test_vectors_are_those_of_the_passages(folder):
    with Index.open(folder) as index:
        expected = {document.doc_id: document.vectors for document in index.documents()}
        for doc_id, vectors in zip(["j1", "a b"], index.vectors(["j1", "a b"]), strict=True):
            np.testing.assert_allclose(vectors, expected[doc_id], atol=1e-6)
        assert index.vectors([]) == []
        with pytest.raises(QueryError, match="'nothing' is not in the index"):
            index.vectors(["j1", "nothing"])
