"""The MCP server, asked by the SDK's own client over stdio and over HTTP."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from hpdsearch import Document, Index

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

DOCUMENTS = [
    Document("a", "fear of spiders", "phobia", {"year": 2020}),
    Document("b", "tax reform", metadata={"year": 2022}),
    Document("long", "joy " * 40_000),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folder):
    folder = tmp_path_factory.mktemp("served") / "news"
    Index.build(folder, DOCUMENTS, encoder=tiny_folder).close()
    return folder


def call(server: Any, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """Return the results of calls of tools."""

    async def run() -> list[Any]:
        async with Client(server) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(run())


def over_stdio(folder):
    command = [sys.executable, "-m", "hpdsearch", "mcp", str(folder)]
    return StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))


def test_the_tools_answer_over_stdio_as_the_index_does(folder):
    found, full, listed = call(
        over_stdio(folder),
        ("search", {"query": "spiders", "k": 2, "where": "year >= 2020"}),
        ("get_document", {"doc_id": "a", "index": "news"}),
        ("list_indexes", {}),
    )
    with Index.open(folder) as index:
        expected = index.search("spiders", 2, where="year >= 2020")
    hits = found.structured_content["hits"]
    assert [(hit["doc_id"], hit["passage"]) for hit in hits] == [(hit.doc_id, hit.passage) for hit in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-4)
    assert full.structured_content == {
        "doc_id": "a",
        "title": "phobia",
        "text": "fear of spiders",
        "metadata": {"year": 2020},
        "n_characters": 15,
    }
    assert listed.structured_content == {"indexes": [{"name": "news", "n_documents": 3, "fields": ["year"]}]}


def test_errors_are_told_to_the_assistant(folder):
    calls = {
        "expected one of news, got 'other'": ("search", {"query": "joy", "index": "other"}),
        "where: character 7": ("search", {"query": "joy", "where": "year >"}),
        "less than or equal to 50": ("search", {"query": "joy", "k": 51}),
        "news: holds no document 'x'": ("get_document", {"doc_id": "x"}),
    }
    for message, result in zip(calls, call(over_stdio(folder), *calls.values()), strict=True):
        assert result.is_error
        assert message in result.content[0].text
        assert str(folder) not in result.content[0].text


def test_a_long_document_is_read_in_parts(folder):
    first, second = call(
        over_stdio(folder), ("get_document", {"doc_id": "long"}), ("get_document", {"doc_id": "long", "start": 100_000})
    )
    text = first.structured_content["text"] + second.structured_content["text"]
    assert text == DOCUMENTS[2].text
    assert first.structured_content["n_characters"] == len(text)


def test_http_answers_as_stdio_does(folder):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hpdsearch", "mcp", str(folder), "--http", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port)
            search = ("search", {"query": "spiders"})
            (by_http,) = call(f"http://127.0.0.1:{port}/mcp", search)
            (by_stdio,) = call(over_stdio(folder), search)
            assert by_http.structured_content == by_stdio.structured_content
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    for _ in range(300):
        with closing(socket.socket()) as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def test_the_tools_have_descriptions_and_types(folder):
    async def list_tools() -> list[Any]:
        async with Client(over_stdio(folder)) as client:
            return (await client.list_tools()).tools

    tools = asyncio.run(list_tools())
    assert [tool.name for tool in tools] == ["search", "get_document", "list_indexes"]
    for tool in tools:
        assert tool.description
        assert tool.output_schema["type"] == "object"
        assert tool.annotations.read_only_hint
