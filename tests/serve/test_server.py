"""`hpdsearch serve` as a process on a loopback port: it announces itself, times out slow clients, stops gracefully."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from serving import exchange, get, post, running, serving

from hpdsearch import Index

START_SECONDS = 120


def test_the_command_serves_and_stops_at_sigterm(folder):
    with serving(folder) as (process, port):
        assert get(port, "/health") == (200, {"status": "ok"})
        assert get(port, "/search?q=earthquakes&k=1")[1]["hits"][0]["doc_id"] == "s1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        _, errors = process.communicate()
        assert "Traceback" not in errors
    with pytest.raises(OSError):
        get(port, "/health")


def test_a_running_change_is_finished_before_the_end(folder):
    """The change is slow: the encoder of the process waits until the signal has come."""
    slow = (
        "import time\nfrom hpdsearch.index import Index\nadd = Index.add\n"
        "def slow(self, documents):\n    print('adding', flush=True)\n    time.sleep(1.5)\n"
        "    return add(self, documents)\nIndex.add = slow"
    )
    with serving(folder, code=slow) as (process, port):
        answers: list[dict] = []
        thread = threading.Thread(
            target=lambda: answers.append(post(port, "/documents", {"doc_id": "late", "text": "the cat sings"}))
        )
        thread.start()
        assert process.stdout is not None
        assert process.stdout.readline() == "adding\n"
        process.send_signal(signal.SIGINT)
        thread.join(60)
        assert answers[0]["n_documents"] == 1
        assert process.wait(60) == 0
    with Index.open(folder) as index:
        assert index.get("late") is not None
        assert index.verify() == []


def test_slow_headers_and_slow_bodies_end(folder):
    script = (
        "from pathlib import Path\nfrom hpdsearch.serve.server import run\n"
        "from hpdsearch.serve.settings import Limits, Settings\n"
        "settings = Settings(limits=Limits(header_seconds=0.4, body_seconds=0.4))\n"
        f"run([Path({str(folder)!r})], settings, 0, lambda address: print('serving', address, flush=True))"
    )
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with running(script) as (_, port):
        start = time.monotonic()
        assert exchange(port, b"GET /health HTTP/1.1\r\nHost: loc") == b""
        assert exchange(port, b"") == b""
        assert exchange(port, head + b'{"query"').startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start < 20
        assert get(port, "/search?q=cat")[0] == 200


def test_headers_that_are_too_large_or_without_end_are_refused(folder):
    line = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    with serving(folder) as (_, port):
        assert exchange(port, line + b"X-Ample: " + 30_000 * b"a" + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        for head in (
            line + b"X-Ample: " + 40_000 * b"a" + b"\r\n\r\n",
            line + b"X-Ample: " + 60_000 * b"a",
            line + 3_000 * b"X-Ample: aaaaaaaaaa\r\n" + b"\r\n",
            b"GET /search?q=" + 40_000 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            assert exchange(port, head).startswith(b"HTTP/1.1 400 "), head[:80]
        assert get(port, "/search?q=cat")[0] == 200


def test_a_token_file_guards_another_address(folder, tmp_path):
    token = tmp_path / "token.txt"
    token.write_text("a-long-secret\n")
    token.chmod(0o600)
    with serving(folder, "--host", "0.0.0.0", "--token-file", token, "--read-only") as (_, port):
        assert get(port, "/health")[0] == 200
        assert get(port, "/indexes")[0] == 401
        status, listed = get(port, "/indexes", Authorization="Bearer a-long-secret", Host="example.org")
        assert (status, listed["indexes"][0]["name"]) == (200, "words")


def test_answers_do_not_wait_for_acknowledgments():
    """asyncio sets TCP_NODELAY only on sockets whose protocol is named; otherwise many answers take 40 ms longer."""
    from hpdsearch.serve.server import listen

    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def run_cli(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpdsearch", "serve", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=START_SECONDS)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["words", "--host", "0.0.0.0"], 1, "--host 0.0.0.0: other machines can reach this address; set --token"),
        (["words", "--token", "x"], 1, "token: expected at least 8"),
        (["words", "--token", "long-enough", "--token-file", "indexes/words/catalog.sqlite"], 2, "got both"),
        (["nothing"], 1, "nothing: there is no such folder"),
        (["words", "indexes/words"], 1, "another index has the name 'words' too"),
    ],
)
def test_mistakes_end_with_a_message(folder, arguments, code, message):
    result = run_cli(*arguments, cwd=folder.parent.parent)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_in_use_ends_with_a_message(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_cli("words", "--port", str(port), cwd=folder.parent.parent)
    assert result.returncode == 1
    assert f"127.0.0.1:{port}: cannot listen (Address already in use)" in result.stderr
