"""The commands with --ray: index, query and serve, on a cluster of this machine."""

import csv
import gzip
import json
import socket
import urllib.request
from contextlib import ExitStack
from dataclasses import replace

import pytest
from click.testing import CliRunner
from ray_clusters import import_ray, start_cluster
from sharding import make_corpus, stored_values
from tiny_encoder import make_tiny_static

import_ray()

from hpdsearch import Index  # noqa: E402
from hpdsearch.cli import main  # noqa: E402
from hpdsearch.cluster.ray.serving import start  # noqa: E402
from hpdsearch.serve.settings import Settings  # noqa: E402

pytestmark = pytest.mark.slow
QUERY = "wind over the sea"


@pytest.fixture(scope="module")
def cluster():
    with start_cluster(2) as started:
        yield started


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(cluster, tmp_path_factory):
    """Return an index that the command has built on the cluster."""
    path = tmp_path_factory.mktemp("commands")
    lines = [{"id": each.doc_id, "text": each.text, "title": each.title} for each in make_corpus(120)]
    (path / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    encoder = make_tiny_static(path / "static")
    options = ("--encoder", encoder, "--shards", 3, "--processes", 2, "--ray", "auto", "-o", path / "words")
    assert "120 documents" in run("index", path / "texts.jsonl", *options)
    return path / "words"


def test_files_at_urls_make_the_index_of_local_files(folder, tmp_path) -> None:
    documents = make_corpus(90)
    files = tmp_path / "files"
    files.mkdir()
    lines = [json.dumps({"id": each.doc_id, "text": each.text, "title": each.title, "n": 1}) for each in documents]
    (files / "a.jsonl").write_text("\n".join(lines[:40]))
    (files / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[40:70]).encode()))
    rows = [[each.doc_id, each.text, each.title, 1] for each in documents[70:]]
    with (files / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text", "title", "n"], *rows])
    shared = ("--encoder", folder.parent / "static", "--shards", 2, "--processes", 1)
    run("index", f"file://{files}", *shared, "--ray", "auto", "-o", tmp_path / "remote")
    run("index", *(files / name for name in ("a.jsonl", "b.jsonl.gz", "c.csv")), *shared, "-o", tmp_path / "local")
    with Index.open(tmp_path / "remote") as remote, Index.open(tmp_path / "local") as local:
        found, expected = stored_values(remote), stored_values(local)
        assert found.keys() == expected.keys() == {each.doc_id for each in documents}
        for doc_id, (document, vectors) in found.items():
            other, other_vectors = expected[doc_id]
            assert replace(document, source="") == replace(other, source="")
            assert document.source == f"file://{other.source}"
            assert vectors == other_vectors
        assert remote.search(QUERY, 20) == local.search(QUERY, 20)


def test_lines_without_ids_are_named_by_their_url(folder, tmp_path) -> None:
    (tmp_path / "lines.txt").write_text("a cat\n\nthe moon\n")
    url = f"file://{tmp_path}/*.txt"
    options = ("--encoder", folder.parent / "static", "--shards", 2, "--ray", "auto", "-o", tmp_path / "index")
    run("index", url, *options)
    with Index.open(tmp_path / "index") as opened:
        ids = {document.doc_id for document in opened.documents()}
    assert ids == {f"file://{tmp_path}/lines.txt:1", f"file://{tmp_path}/lines.txt:3"}
    missing = CliRunner().invoke(main, ["index", f"file://{tmp_path}/none.txt", *map(str, options), "--overwrite"])
    assert missing.exit_code == 1
    assert "none.txt" in missing.output


def test_query_on_the_cluster_prints_the_hits_of_one_process(folder) -> None:
    on_ray = json.loads(run("query", QUERY, "-i", folder, "--json", "--ray", "auto", "--replicas", 2))
    alone = json.loads(run("query", QUERY, "-i", folder, "--json"))
    assert on_ray["hits"] == alone["hits"]
    assert on_ray["hits"]
    assert on_ray["missing_shards"] == []


def test_the_service_on_the_cluster_gives_the_hits_of_one_process(folder) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    expected = json.loads(run("query", QUERY, "-i", folder, "--json"))["hits"]
    with ExitStack() as stack:
        address = start([folder], Settings(), port, replicas=1, deadline=30, stack=stack)
        body = json.dumps({"query": QUERY}).encode()
        request = urllib.request.Request(f"{address}/search", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
    assert found["hits"] == expected
    assert found["missing_shards"] == []
