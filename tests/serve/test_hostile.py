"""Ten thousand hostile requests to a real server: no status 5xx, no crash, nothing let in, nothing told."""

import random
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import get, running

from hpdsearch import Index

N_REQUESTS = 10_000
N_THREADS = 4
TOKEN = "the-right-token"
SEED = 20

FILTERS = [
    "1=1; DROP TABLE documents", "year = 1) OR (1=1", "year = '' OR ''=''", "`year` = 1 -- ", "year/**/= 1",
    "year = 1 UNION SELECT text FROM documents", '"a" = "a"', "@source like '%'", "@source starts with '/'",
    "not " * 500 + "year = 1", "(" * 500, "year in (" + ",".join("1" * 3000) + ")", "year = 1e999", "year = -0",
    "title like '" + "%_" * 400 + "'", "text contains '\\'", "year = date '0000-00-00'", "`\x00` = 1", "\ud7ff = 1",
    "tags.a.b.c = null", "@@ = 1", "year = 9" + "9" * 400, "year is not not null", "year between 1 and 2",
]  # fmt: skip
PATHS = [
    "/documents/../../../../etc/passwd", "/documents/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/documents/%00", "/documents/",
    "/documents/..%5c..%5cwindows", "/documents//etc/passwd", "/indexes/..", "/indexes/%2e%2e%2fwords", "/indexes/%00",
    "/indexes/words/../../catalog.sqlite", "//etc/passwd", "/static/../app.py", "/docs/../openapi.json", "/.git/config",
    "/documents/%ff%fe", "/documents/" + "a" * 20_000, "/search?q=" + "%41" * 9000, "/search?q=cat&index=../words",
    "/search?q=cat&index=%2Fetc", "/search?q=cat&k=99999999999999999999", "/search?q=cat&k=-1", "/search?q=%00",
    "/search?q=%ed%a0%80", "/search?q=cat&q=dog&k=1&k=2", "/search?" + "&".join(f"a{n}=1" for n in range(3000)),
    "http://127.0.0.1/documents/s1", "*", "/%", "/search?q=cat&min_score=nan", "/search?q=cat&ann_recall=inf",
    "/search?like=../../etc/passwd", "/metrics/../health", "/health%2f..%2findexes", "/HEALTH", "/health/../indexes",
]  # fmt: skip
HEADERS = [
    "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: -1",
    "Content-Length: 99999999999999999999", "Content-Length: 0x10", "Transfer-Encoding: gzip", "Expect: 100-continue",
    "Upgrade: websocket\r\nConnection: Upgrade", "X: " + "a" * 50_000, "X: a\x00b", "X : a", " folded: a",
    "Authorization: Bearer a\r\nAuthorization: Bearer b", "Host: evil.example", "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Host: localhost", "X-Original-URL: /health", "X-HTTP-Method-Override: GET", "Range: bytes=0-99999999",
    "Accept-Encoding: " + "gzip," * 2000, "Cookie: " + "a=b;" * 3000, "\r\nGET /documents/s1 HTTP/1.1\r\nHost: a",
]  # fmt: skip
TOKENS = [
    "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}\x01", f"Basic {TOKEN}",
    f"Digest {TOKEN}", f"bearer{TOKEN}", "Basic Og==", "Basic " + "A" * 9000, f"Bearer {TOKEN},{TOKEN}",
]  # fmt: skip


def message(
    method: str, path: str, body: bytes = b"", *, authorization: str = f"Bearer {TOKEN}", extra: str = ""
) -> bytes:
    """Return the bytes of a request, which need not be valid."""
    lines = [f"{method} {path} HTTP/1.1", "Connection: close", f"Authorization: {authorization}"]
    lines += [] if "Host:" in extra else ["Host: localhost"]
    lines += [extra] if extra else []
    if body:
        lines += ["Content-Type: application/json"]
        lines += [] if "Content-Length" in extra else [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + body


def deep_json(rng: random.Random) -> bytes:
    depth = rng.choice([50, 900, 20_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    inner = opening * depth + "1" + closing * rng.choice([0, depth])
    field = rng.choice(["query", "like", "where", "metadata", "input"])
    path = rng.choice(["/search", "/v1/embeddings", "/documents"])
    return message("POST", path, f'{{"doc_id": 5, "{field}": {inner}}}'.encode())


def odd_json(rng: random.Random) -> bytes:
    values = ["NaN", "1e999", "-1", "null", "true", '""', '" "', '"\\ud800"', '"\\u0000"', "[]", "{}", "[null]",
              '"' + "x" * 70_000 + '"', "9" * 5000, "[[1]]", '{"$ref": "#"}', "1.5", '"\\uffff"']  # fmt: skip
    names = ["query", "like", "k", "offset", "mode", "where", "explain", "min_score", "ann_recall", "index", "full"]
    chosen = ", ".join(f'"{rng.choice(names)}": {rng.choice(values)}' for _ in range(rng.randrange(4)))
    return message("POST", "/search", f'{{"query": {rng.choice(values)}, {chosen}}}'.replace(", }", "}").encode())


def bad_bytes(rng: random.Random) -> bytes:
    return message(
        "POST", rng.choice(["/search", "/documents", "/v1/embeddings"]), rng.randbytes(rng.randrange(1, 300))
    )


def odd_filter(rng: random.Random) -> bytes:
    where = rng.choice(FILTERS)
    at = rng.randrange(len(where))
    where = where[:at] + rng.choice(["", "'", '"', "`", ";", "--", ")", "\\", "\x00", "é"]) + where[at:]
    text = where.replace("\\", "\\\\").replace('"', '\\"').replace("\x00", "\\u0000")
    return message("POST", "/search", f'{{"query": "old cat", "where": "{text}"}}'.encode())


def odd_path(rng: random.Random) -> bytes:
    # No DELETE of a path that may be a document: only what does not exist is asked for.
    return message(rng.choice(["GET", "HEAD", "PUT", "PATCH", "TRACE", "OPTIONS"]), rng.choice(PATHS))


def odd_headers(rng: random.Random) -> bytes:
    body = rng.choice([b"", b'{"query": "cat"}'])
    return message("POST" if body else "GET", "/search", body, extra=rng.choice(HEADERS))


def wrong_token(rng: random.Random) -> bytes:
    method, path = rng.choice([("GET", "/documents/s1"), ("DELETE", "/documents/s1"), ("POST", "/documents")])
    body = b'{"doc_id": "evil", "text": "let in"}' if method == "POST" else b""
    return message(method, path, body, authorization=rng.choice(TOKENS))


def broken_http(rng: random.Random) -> bytes:
    data = bytearray(message("POST", "/search", b'{"query": "old cat", "k": 3}'))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def raw_noise(rng: random.Random) -> bytes:
    beginnings = [b"", b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"]
    return rng.choice(beginnings) + rng.randbytes(rng.randrange(1, 200)) + b"\r\n\r\n"


def bad_chunks(rng: random.Random) -> bytes:
    head = message("POST", "/search", extra="Content-Type: application/json\r\nTransfer-Encoding: chunked")
    sizes = [b"zz", b"-5", b"ffffffffffffffff", b"5;ext=" + b"a" * 2000, b"", b"0x5", b"5 "]
    return head + rng.choice(sizes) + b"\r\n" + rng.randbytes(5) + b"\r\n0\r\n\r\n"


KINDS: list[Callable[[random.Random], bytes]] = [
    deep_json, odd_json, bad_bytes, odd_filter, odd_path, odd_headers, wrong_token, broken_http, raw_noise, bad_chunks,
]  # fmt: skip


def exchange(port: int, data: bytes) -> bytes:
    """Send a request; return what comes until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:  # it was refused before all of it was sent
            pass
    return received


def ask(port: int, folder: Path, number: int) -> str | None:
    """Send the request of a number; return what is wrong with the answer."""
    rng = random.Random(SEED * 1_000_003 + number)
    kind = KINDS[number % len(KINDS)]
    data = kind(rng)
    answer = exchange(port, data)
    shown = f"request {number} ({kind.__name__}): {data[:300]!r}\n -> {answer[:500]!r}"
    if not answer:
        return None  # closed without an answer, because the request never became complete
    found = re.match(rb"HTTP/1.1 (\d{3}) ", answer)
    if found is None or found[1].startswith(b"5"):
        return shown
    if kind is wrong_token and found[1] not in (b"401", b"400"):
        return shown
    if any(word in answer for word in (b"Traceback", str(folder.parent).encode(), b"root:", b"let in")):
        return shown
    return None


@pytest.mark.slow
def test_hostile_requests_break_nothing_and_are_told_nothing(folder: Path) -> None:
    script = (
        "from pathlib import Path\nfrom hpdsearch.serve.server import run\n"
        "from hpdsearch.serve.settings import Limits, Settings\n"
        "limits = Limits(header_seconds=0.3, body_seconds=0.3, max_body_bytes=60_000)\n"
        f"settings = Settings(token={TOKEN!r}, limits=limits)\n"
        f"run([Path({str(folder)!r})], settings, 0, lambda address: print('serving', address, flush=True))"
    )
    with Index.open(folder) as index:
        before = {hit.doc_id: hit.text for hit in index.search("the old cat", 100, mode="dense")}
    with running(script) as (process, port), ThreadPoolExecutor(N_THREADS) as pool:
        problems = [each for each in pool.map(lambda n: ask(port, folder, n), range(N_REQUESTS)) if each]
        assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:5])
        assert process.poll() is None, "the process still runs"
        status, answer = get(port, "/search?q=earthquakes&k=1", Authorization=f"Bearer {TOKEN}")
        assert (status, answer["hits"][0]["doc_id"]) == (200, "s1")
    with Index.open(folder) as index:
        assert {hit.doc_id: hit.text for hit in index.search("the old cat", 100, mode="dense")} == before
        assert index.verify() == []


def test_hostile_bodies_are_answered_without_an_error_of_the_server(client) -> None:
    """The bodies of the requests, without HTTP, in the fast tests."""
    for number in range(200):
        rng = random.Random(number)
        data = rng.choice([deep_json, odd_json, bad_bytes, odd_filter])(rng)
        head, _, body = data.partition(b"\r\n\r\n")
        path = head.split()[1].decode()
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 400, 413, 422), data[:300]
