"""POST /search and GET /search: the answers are those of the Python API and of `hpdsearch query --json`."""

import json

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from hpdsearch import Document, Index
from hpdsearch.cli import main


def hits_of(response):
    assert response.status_code == 200, response.text
    return response.json()["hits"]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("options", [[], ["--where", "year < 1900"], ["--explain", "--full"]])
def test_an_answer_is_that_of_query_json(client: TestClient, folder, mode, options):
    command = ["query", "fear of spiders", "-i", str(folder), "-k", "3", "--mode", mode, "--json", *options]
    expected = json.loads(CliRunner().invoke(main, command, catch_exceptions=False).stdout)
    request = {"query": "fear of spiders", "k": 3, "mode": mode}
    request |= {"where": "year < 1900"} if "--where" in options else {}
    request |= {"explain": True, "full": True} if options[:1] == ["--explain"] else {}
    got = client.post("/search", json=request).json()
    del expected["milliseconds"], got["milliseconds"], got["encode_milliseconds"]
    assert json.dumps(got, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_several_queries_have_an_answer_each_in_their_order(client: TestClient):
    queries = ["old cat", "great happiness", "old cat"]
    answers = client.post("/search", json={"query": queries, "k": 2, "mode": "lexical"}).json()["answers"]
    assert [answer["query"] for answer in answers] == queries
    assert [answer["query_id"] for answer in answers] == ["1", "2", "3"]
    assert answers[0]["hits"] == answers[2]["hits"]
    assert answers[1]["hits"][0]["doc_id"] == "j1"
    assert client.post("/search", json={"query": []}).json() == {"answers": []}


def test_an_address_searches_too(client: TestClient):
    response = client.get("/search", params={"q": "old boat", "k": 2, "mode": "lexical", "where": "year > 0"})
    posted = client.post("/search", json={"query": "old boat", "k": 2, "mode": "lexical", "where": "year > 0"})
    assert hits_of(response) == hits_of(posted) != []
    assert response.text.count("\n") > 5, "people can read it"


def test_pages_of_hits_continue_one_another(client: TestClient):
    everything = hits_of(client.post("/search", json={"query": "old boat", "k": 5, "mode": "dense"}))
    pages = [
        hits_of(client.post("/search", json={"query": "old boat", "k": 2, "offset": offset, "mode": "dense"}))
        for offset in (0, 2, 4, 6)
    ]
    assert [hit for page in pages for hit in page] == everything
    assert [hit["rank"] for hit in everything] == [1, 2, 3, 4, 5]


def test_like_finds_what_the_python_api_finds(client: TestClient, folder):
    with Index.open(folder) as index:
        expected = [(hit.doc_id, pytest.approx(hit.score)) for hit in index.like("c1", 3, where="year > 0")]
    got = hits_of(client.post("/search", json={"like": "c1", "k": 3, "where": "year > 0"}))
    assert [(hit["doc_id"], hit["score"]) for hit in got] == expected
    assert client.post("/search", json={"like": "none"}).status_code == 404
    assert client.post("/search", json={"like": "c1", "mode": "dense"}).status_code == 422


def test_min_score_leaves_out_hits(client: TestClient):
    everything = hits_of(client.post("/search", json={"query": "cat", "mode": "dense"}))
    limit = everything[1]["score"]
    some = hits_of(client.post("/search", json={"query": "cat", "mode": "dense", "min_score": limit}))
    assert some == [hit for hit in everything if hit["score"] >= limit]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, 'expected "query" or "like", got none'),
        ({"query": "a", "like": "b"}, 'expected "query" or "like", got both'),
        ({"query": "  "}, "query 1: expected text that is not blank, got '  '"),
        ({"query": "cat", "where": "year => 3"}, "where: character 7"),
        ({"query": "cat", "where": "yaer = 3"}, "no document has a field 'yaer'"),
        ({"query": "cat", "k": 0}, "k: Input should be greater than or equal to 1"),
        ({"query": "cat", "k": "3"}, "k: Input should be a valid integer"),
        ({"query": "cat", "k": 1001}, "k + offset: expected at most 1000, got 1001"),
        ({"query": "cat", "k": 10, "offset": 991}, "k + offset: expected at most 1000, got 1001"),
        ({"query": ["cat"] * 257}, "number of queries: expected at most 256, got 257"),
        ({"query": ["x" * 8000] * 9}, "query: characters of all queries: expected at most 65536, got 72000"),
        ({"query": "cat", "k": 101, "explain": True}, "k + offset with explain: expected at most 100, got 101"),
        ({"query": "cat", "\ud800": 1}, "Input should be a valid string"),
        ({"query": "\ud800"}, "query 1: expected Unicode text, got an unpaired surrogate"),
        ({"query": "x" * 8193}, "query: characters: expected at most 8192, got 8193"),
        ({"query": "cat", "where": "a" * 8193}, "where: characters: expected at most 8192"),
        ({"query": "cat", "mode": "fuzzy"}, "mode: Input should be 'hybrid', 'dense' or 'lexical'"),
        ({"query": "cat", "ann_recall": 2}, "ann_recall: Input should be less than or equal to 1"),
        ({"query": "cat", "limit": 3}, "limit: Extra inputs are not permitted"),
        ({"query": "cat", "index": "../words"}, None),
    ],
)
def test_a_mistake_is_named(client: TestClient, request_, message):
    body = json.dumps(request_).encode()
    response = client.post("/search", content=body, headers={"content-type": "application/json"})
    assert response.status_code == (422 if message else 404)
    assert (message or "there is no index '../words'; indexes: words") in response.json()["error"]["message"]


def test_a_mistake_in_one_of_concurrent_queries_does_not_touch_the_others(client: TestClient):
    from concurrent.futures import ThreadPoolExecutor

    queries = ["old cat", "", "great happiness", "\t"] * 10
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda query: client.post("/search", json={"query": query, "k": 1}), queries))
    assert [response.status_code for response in responses] == [200, 422, 200, 422] * 10


def test_no_answer_names_a_path(client: TestClient, folder):
    """The source of s1 is a path of the server. No filter may find out about it, and no message may hold the folder."""
    requests = [
        {"query": "cat", "where": where}
        for where in ("@source > 5", '@source starts with "/home"', "source is not null", 'not (`source` = "x")')
    ]
    for request in [*requests, {"like": "none"}, {"query": "cat", "where": "yaer = 1"}]:
        response = client.post("/search", json=request)
        assert response.status_code in (404, 422)
        assert "/home" not in response.text
        assert str(folder.parent) not in response.text
    full = client.post("/search", json={"query": "earthquakes", "full": True, "explain": True}).text
    assert "s1" in full
    for text in (full, client.get("/documents/s1").text, client.get("/indexes/words").text):
        assert "/home" not in text
        assert str(folder.parent) not in text


def test_metadata_may_have_a_field_called_source(serve, tmp_path, tiny_encoder):
    documents = [Document("1", "the cat", metadata={"source": "web"}), Document("2", "the cat")]
    Index.build(tmp_path / "other", documents, encoder=tiny_encoder).close()
    client = serve(tmp_path / "other")
    got = hits_of(client.post("/search", json={"query": "cat", "where": 'source = "web"'}))
    assert [hit["doc_id"] for hit in got] == ["1"]
    assert client.post("/search", json={"query": "cat", "where": '@source = "web"'}).status_code == 422


def test_a_request_names_one_of_several_indexes(serve, folder, tmp_path, tiny_encoder):
    Index.build(tmp_path / "other", [Document("x", "the cat")], encoder=tiny_encoder).close()
    client = serve(folder, tmp_path / "other")
    assert client.post("/search", json={"query": "cat"}).json()["error"]["message"] == (
        "index: expected one of other, words"
    )
    assert [hit["doc_id"] for hit in hits_of(client.get("/search?q=cat&index=other"))] == ["x"]
    listed = client.get("/indexes").json()["indexes"]
    assert listed == [{"name": "words", "n_documents": 5}, {"name": "other", "n_documents": 1}]
