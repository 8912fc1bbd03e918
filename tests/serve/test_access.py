"""Who may use the service: tokens, hosts, origins; and what limits requests."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpdsearch.errors import ServeError
from hpdsearch.serve.settings import Limits, Settings

TOKEN = "correct-horse"
ROUTES = [
    ("GET", "/search?q=cat"), ("POST", "/search"), ("GET", "/documents/s1"), ("POST", "/documents"),
    ("DELETE", "/documents/s1"), ("GET", "/indexes"), ("GET", "/indexes/words"), ("GET", "/ready"),
    ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/v1/embeddings"), ("GET", "/none"),
]  # fmt: skip


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(("method", "address"), ROUTES)
def test_every_route_needs_the_token(serve, method, address):
    client = serve(token=TOKEN, host="0.0.0.0")
    wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, f"Token {TOKEN}", basic("a:b")]
    for authorization in [*wrong, "Basic ???", "Bearer \xff"]:
        response = client.request(method, address, headers={"Authorization": authorization.encode("latin-1")})
        assert response.status_code == 401, authorization
        assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert client.request(method, address).status_code == 401
    for authorization in (f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic(f"me:{TOKEN}")):
        assert client.request(method, address, headers={"Authorization": authorization}).status_code != 401
    both = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
    assert client.request(method, address, headers=both).status_code == 401


def test_health_needs_no_token(serve):
    assert serve(token=TOKEN).get("/health", headers={"Host": "anything"}).json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])
def test_other_hosts_than_loopback_need_a_token(host):
    with pytest.raises(ServeError, match="set --token or --token-file"):
        Settings(host=host)
    Settings(host=host, token=TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback_needs_none(host):
    Settings(host=host)


@pytest.mark.parametrize("token", ["", "short", "with space in it", "accentué-long"])
def test_a_weak_token_is_refused(token):
    with pytest.raises(ServeError, match="at least 8"):
        Settings(token=token)


def test_without_a_token_other_host_names_are_refused(client):
    """A page of evil.example whose name points to 127.0.0.1 would be of the same origin as its requests."""
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", ""):
        assert client.get("/search?q=cat", headers={"Host": host}).status_code == 421, host
    for host in ("127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080"):
        assert client.get("/search?q=cat", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize("type_", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_bodies_that_pages_may_send_without_asking_are_refused(client, type_):
    headers = {"content-type": type_} if type_ else {}
    for address in ("/documents", "/search", "/v1/embeddings"):
        response = client.post(address, content=b'{"doc_id": "1", "text": "a", "query": "cat"}', headers=headers)
        assert response.status_code == 415


def test_cors_is_off_unless_an_origin_is_named(serve):
    origin = {"Origin": "https://example.org"}
    preflight = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    closed = serve()
    assert "access-control-allow-origin" not in closed.get("/search?q=cat", headers=origin).headers
    assert "access-control-allow-origin" not in closed.options("/documents", headers=preflight).headers
    open_ = serve(cors_origins=("https://example.org",))
    assert open_.get("/search?q=cat", headers=origin).headers["access-control-allow-origin"] == "https://example.org"
    assert open_.options("/documents", headers=preflight).status_code == 200
    other = open_.get("/search?q=cat", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_large_bodies_are_refused(serve):
    client = serve(limits=Limits(max_body_bytes=1000, max_stream_bytes=2000))
    body = b'{"query": "' + b"x" * 1000 + b'"}'
    json_type = {"content-type": "application/json"}
    for content in (body, iter([body[:500], body[500:]])):  # with its length, and in chunks
        response = client.post("/search", content=content, headers=json_type)
        assert response.status_code == 413
        assert "body: expected at most 1000 bytes" in response.json()["error"]["message"]
    lines = b'{"id": "1", "text": "a"}\n' * 100
    assert client.post("/documents", content=lines, headers={"content-type": "application/jsonl"}).status_code == 413


def test_too_many_requests_are_told_to_try_again(serve):
    client = serve(limits=Limits(max_requests=1))
    index = client.app.state.indexes.by_name["words"]
    inside = threading.Event()
    leave = threading.Event()
    search = index._search

    def wait(texts, options):
        inside.set()
        leave.wait(30)
        return search(texts, options)

    index._queue._search = wait
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.get, "/search?q=cat")
        assert inside.wait(30)
        second = client.get("/search?q=cat")
        health = client.get("/health")
        leave.set()
        assert first.result().status_code == 200
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")
    assert health.status_code == 200
    assert client.get("/search?q=cat").status_code == 200


def test_a_bug_is_answered_without_details(client):
    def fail(texts, options):
        raise ZeroDivisionError("/secret/path")

    client.app.state.indexes.by_name["words"]._queue._search = fail
    response = client.get("/search?q=cat")
    assert response.status_code == 500
    assert response.json()["error"]["message"] == "the service failed; its log says why"
    assert "secret" not in response.text
