"""Embeddings in OpenAI's form, metrics, the page /docs and the OpenAPI description."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from tiny_encoder import make_tiny_encoder

from hpdsearch import Document, Encoder, Index


def test_embeddings_are_the_vectors_of_the_encoder(client: TestClient, tiny_encoder: Encoder):
    texts = ["the old cat", "the moon"]
    answer = client.post("/v1/embeddings", json={"input": texts, "model": "tiny"}).json()
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    assert [each["index"] for each in answer["data"]] == [0, 1]
    np.testing.assert_allclose([each["embedding"] for each in answer["data"]], tiny_encoder.encode(texts), atol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_embeddings_of_queries_and_documents_have_their_prompts(serve, tmp_path: Path, tiny_encoder: Encoder):
    prompted = make_tiny_encoder(tmp_path / "prompted", query_prompt="song: ", document_prompt="book: ")
    Index.build(tmp_path / "index", [Document("1", "the old cat")], encoder=prompted).close()
    client = serve(tmp_path / "index")
    for options, prompt in (
        ({}, "book: "),
        ({"input_type": "document"}, "book: "),
        ({"input_type": "query"}, "song: "),
    ):
        (each,) = client.post("/v1/embeddings", json={"input": "the moon", **options}).json()["data"]
        np.testing.assert_allclose(each["embedding"], tiny_encoder.encode([f"{prompt}the moon"])[0], atol=1e-6)
    (hit,) = client.get("/search?q=the moon&mode=dense").json()["hits"]
    query, document = tiny_encoder.encode(["song: the moon", "book: the old cat"])
    assert hit["score"] == pytest.approx(float(query @ document), abs=1e-3)  # float16 in the index


def test_embeddings_in_base64_are_float32(client: TestClient, tiny_encoder: Encoder):
    request = {"input": "the old cat", "encoding_format": "base64", "dimensions": 4}
    (each,) = client.post("/v1/embeddings", json=request).json()["data"]
    vector = np.frombuffer(base64.b64decode(each["embedding"]), "<f4")
    np.testing.assert_allclose(vector, tiny_encoder.truncate(4).encode(["the old cat"])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"input": "a", "model": "/etc/passwd"}, 404, "there is no model '/etc/passwd'; models: base, small, static"),
        ({"input": "a", "model": "../tiny"}, 404, "there is no model"),
        ({"input": []}, 422, "input: expected 1..2048 texts, got 0"),
        ({"input": ["a"] * 2049}, 422, "got 2049"),
        ({"input": [""]}, 422, "input.0: expected Unicode text"),
        ({"input": [[1, 2]]}, 422, "valid string"),
        ({"input": "a", "dimensions": 4096}, 422, "dimensions: dim: expected 1..16"),
        ({"input": "a", "encoding_format": "hex"}, 422, "encoding_format"),
        ({"input": "a", "input_type": "title"}, 422, "input_type"),
    ],
)
def test_a_mistake_is_named(client: TestClient, request_, status, message):
    response = client.post("/v1/embeddings", json=request_)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


def test_metrics_count_requests_by_route_and_never_by_path(client: TestClient):
    for _ in range(3):
        client.get("/search?q=cat")
    client.get("/documents/a-secret-id")
    client.get("/nonsense/4711")
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'hpdsearch_requests_total{method="GET",route="/search",status="200"} 3.0' in response.text
    assert 'hpdsearch_requests_total{method="GET",route="/documents/{doc_id:path}",status="404"} 1.0' in response.text
    assert 'hpdsearch_documents{index="words"} 5.0' in response.text
    assert "secret" not in response.text
    assert "4711" not in response.text


class Loads(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_docs_load_nothing_from_anywhere(client: TestClient):
    response = client.get("/docs")
    page = Loads()
    page.feed(response.text)
    assert page.found == ["openapi.json"]
    assert "script" not in page.tags
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "url(" not in response.text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in response.text


def test_the_description_names_every_route_and_has_no_dangling_reference(client: TestClient):
    description = client.get("/openapi.json").json()
    routes = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    assert routes == {
        ("GET", "/search"), ("POST", "/search"), ("GET", "/documents/{doc_id}"), ("DELETE", "/documents/{doc_id}"),
        ("GET", "/documents"), ("DELETE", "/documents"), ("POST", "/documents"), ("GET", "/indexes"),
        ("GET", "/indexes/{name}"), ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"),
        ("POST", "/v1/embeddings"), ("POST", "/map"),
    }  # fmt: skip
    references = set(re.findall(r'"#/components/schemas/(\w+)"', client.get("/openapi.json").text))
    assert references <= description["components"]["schemas"].keys()


def test_answers_may_not_be_cached_or_guessed(client: TestClient):
    headers = client.get("/search?q=cat").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
