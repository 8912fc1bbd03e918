"""Start the service as a process on a loopback port, and talk to it."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.error import HTTPError


def serving(*arguments: str | Path, code: str = "") -> AbstractContextManager[tuple[subprocess.Popen[str], int]]:
    """Start the command on a free port, in a process that runs some code before."""
    command = ["serve", *map(str, arguments), "--port", "0"]
    return running(f"{code}\nfrom hpdsearch.cli import main\nmain({command!r})")


@contextmanager
def running(script: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a process that serves, and yield it with its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving "), f"{line}{process.communicate()[1]}"
        yield process, int(line.rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str, **headers: str) -> tuple[int, dict]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def post(port: int, path: str, values: object) -> dict:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(values).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def exchange(port: int, data: bytes, seconds: float = 30) -> bytes:
    """Send bytes and return what comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received
