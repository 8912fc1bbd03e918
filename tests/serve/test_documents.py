"""GET, POST and DELETE of documents: acknowledged changes are found by the next search."""

import json
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from hpdsearch import Document, Index
from hpdsearch.indexer.transaction import lock_folder
from hpdsearch.serve.settings import Limits

LINES = {"content-type": "application/x-ndjson"}


def find_ids(client: TestClient, query: str, **options) -> list[str]:
    response = client.post("/search", json={"query": query, "k": 20, "mode": "lexical", **options})
    assert response.status_code == 200, response.text
    return sorted(hit["doc_id"] for hit in response.json()["hits"])


def test_a_document_is_returned_as_it_was_stored(client: TestClient):
    expected = {"doc_id": "notes/README.md", "title": "", "text": "the moon shines on the old boat"}
    for address in ("/documents/notes/README.md", "/documents/notes%2FREADME.md?index=words"):
        assert client.get(address).json() == {**expected, "metadata": {"year": None}}
    assert client.get("/documents/a%20b").json()["title"] == "arachnophobia"
    assert client.get("/documents/none").status_code == 404
    assert client.get("/documents/none").json()["error"]["message"] == "words: holds no document 'none'"


def test_documents_of_any_id_are_named_in_the_query(client: TestClient):
    for doc_id in (".", "..", "a/../b", "a?b&c=d#e", "%2e"):
        assert client.post("/documents", json={"doc_id": doc_id, "text": "the cat sings"}).status_code == 200
        found = client.get("/documents", params={"doc_id": doc_id, "index": "words", "source": True})
        assert found.json()["doc_id"] == doc_id, found.text
        assert client.delete("/documents", params={"doc_id": doc_id}).json()["n_deleted"] == 1
        assert client.get("/documents", params={"doc_id": doc_id}).status_code == 404
    assert client.get("/documents").status_code == 422
    assert client.get("/documents", params={"doc_id": ""}).status_code == 422


def test_what_is_returned_can_be_posted_again(client: TestClient, folder):
    document = client.get("/documents/s1").json()
    added = client.post("/documents", json=document)
    assert (added.json()["n_documents"], added.json()["n_replaced"]) == (1, 1)
    assert client.get("/documents/s1").json() == document


def test_added_documents_are_found_by_the_next_search_and_by_other_programs(client: TestClient, folder):
    assert find_ids(client, "sings") == []
    added = client.post(
        "/documents", json={"documents": [{"doc_id": 7, "text": "the cat sings"}, {"doc_id": "e", "text": " "}]}
    )
    assert added.status_code == 200
    counts = {key: value for key, value in added.json().items() if key.startswith("n_")}
    assert counts == {"n_documents": 1, "n_replaced": 0, "n_passages": 1, "n_empty": 1, "n_duplicates": 0}
    assert find_ids(client, "sings") == ["7"]
    with Index.open(folder) as index:
        assert index.get(7) == Document("7", "the cat sings")
    assert client.delete("/documents/7").json() == {"index": "words", "n_deleted": 1}
    assert find_ids(client, "sings") == []
    assert client.delete("/documents/7").status_code == 404


def test_json_lines_are_read_as_those_of_a_file(client: TestClient, folder, tmp_path):
    lines = [json.dumps({"id": str(n), "title": f"t{n}", "text": f"the cat sings {n}", "n": n}) for n in range(500)]
    body = "\n".join([*lines[:250], "", *lines[250:]])
    added = client.post("/documents", content=body.encode(), headers=LINES)
    assert added.json()["n_documents"] == 500, added.text
    assert client.get("/documents/317").json() == {
        "doc_id": "317", "title": "t317", "text": "the cat sings 317", "metadata": {"n": 317}
    }  # fmt: skip
    assert find_ids(client, "sings", where="n >= 495") == ["495", "496", "497", "498", "499"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"id": "1", "text": "a"}\n{"id": "2"', "line 2: expected a JSON object, got an error at column 11"),
        ('{"text": "a"}', 'line 1: expected a field "id"'),
        ('{"id": "1", "text": 3}', 'line 1: expected a "text" string, got the number 3'),
        ('{"id": "1", "text": "a", "x": NaN}', "line 1: expected a finite number, got NaN"),
        ('{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}', "doc_id '1' came before"),
        ('{"id": "1", "text": "' + "a" * 2000 + '"}', "body: expected lines of at most 1000 bytes"),
        (b'{"id": "1", "text": "\xff"}', "line 1: expected UTF-8, got an invalid byte at column 22"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_added(serve, body, message):
    client = serve(limits=Limits(max_line_bytes=1000))
    response = client.post("/documents", content=body, headers=LINES)
    assert response.status_code in (413, 422)
    assert message in response.json()["error"]["message"]
    assert client.get("/indexes").json()["indexes"] == [{"name": "words", "n_documents": 5}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "body: expected JSON"),
        ("[" * 100_000, "body: nested too deeply"),
        (b'{"doc_id": "\xff", "text": "a"}', "body: expected JSON"),
        ('{"doc_id": "1", "doc_id": "2", "text": "a"}', 'got "doc_id" twice'),
        ('{"documents": []}', "documents: List should have at least 1 item"),
        ('{"documents": [{"doc_id": "1"}]}', "documents.0.text: Field required"),
        ('{"doc_id": "1", "text": "a", "year": 3}', "year: Extra inputs are not permitted"),
        ('{"doc_id": " ", "text": "a"}', "expected a doc_id with characters in it"),
        ('{"doc_id": "1", "text": "a\\u0000"}', "no NUL"),
        ('{"doc_id": "1", "text": "\\ud800"}', "got an unpaired surrogate"),
        ('{"doc_id": "1", "text": "a", "metadata": {"x": NaN}}', "metadata of JSON values"),
        ('{"doc_id": "1", "text": "a", "metadata": ' + '{"x": ' * 600 + "1" + "}" * 601, "nested"),
    ],
)
def test_a_bad_body_is_named_and_nothing_is_added(client: TestClient, body, message):
    response = client.post("/documents", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422, response.text
    assert message in response.json()["error"]["message"]
    assert client.get("/indexes").json()["indexes"] == [{"name": "words", "n_documents": 5}]


def test_a_read_only_service_refuses_changes(serve):
    client = serve(read_only=True)
    for response in (
        client.post("/documents", json={"doc_id": "1", "text": "a"}),
        client.delete("/documents/s1"),
    ):
        assert response.status_code == 403
        assert response.json()["error"]["message"] == "this service is read-only"
    assert client.get("/documents/s1").status_code == 200


def test_changes_of_another_process_are_seen(client: TestClient, folder):
    code = f"from hpdsearch import *; Index.open({str(folder)!r}).add([Document('new', 'a bird sings')])"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert find_ids(client, "sings") == ["new"]
    assert client.get("/documents/new").status_code == 200


def test_an_index_of_another_encoder_may_take_the_place(client: TestClient, folder):
    Index.build(folder, [Document("x", "an old ship")], encoder="static", overwrite=True).close()
    assert client.post("/search", json={"query": "boat", "mode": "dense"}).json()["hits"][0]["doc_id"] == "x"
    assert client.post("/documents", json={"doc_id": "y", "text": "a boat"}).status_code == 200
    assert client.get("/indexes/words").json()["encoder"] == "static"


def test_a_folder_that_is_gone_leaves_the_last_state(client: TestClient, folder):
    folder.rename(folder.with_name("moved"))
    assert find_ids(client, "earthquakes") == ["s1"]
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200
    response = client.post("/documents", json={"doc_id": "1", "text": "a"})
    assert response.status_code == 503
    assert str(folder.parent) not in response.text


def test_another_writer_is_a_conflict_that_can_be_tried_again(serve, folder):
    client = serve(limits=Limits(write_seconds=0.05))
    lock = lock_folder(folder)
    try:
        response = client.post("/documents", json={"doc_id": "1", "text": "a"})
        assert response.status_code == 409
        assert response.headers["retry-after"] == "5"
        assert find_ids(client, "earthquakes") == ["s1"], "searches go on"
    finally:
        lock.release()
    assert client.post("/documents", json={"doc_id": "1", "text": "a"}).status_code == 200


def test_an_index_is_described_with_frequent_values(client: TestClient, folder):
    with Index.open(folder) as index:
        info = index.info().as_dict()
    described = client.get("/indexes/words").json()
    assert described.pop("name") == "words"
    assert described.pop("values")["year"] == [
        {"value": value, "n_documents": 1} for value in ("1300", "1400", "1858", "1920")
    ]
    assert described["encoder"] == "tiny"
    del info["folder"], info["encoder"], described["encoder"]
    assert described == info
    assert client.get("/indexes/other").status_code == 404
    assert client.get("/indexes/..%2fwords").status_code == 404
