"""The commands with --ray: index, query and serve, on a cluster of this machine."""

import json
import socket
import urllib.request
from contextlib import ExitStack

import pytest
from click.testing import CliRunner
from ray_clusters import import_ray, start_cluster
from sharding import make_corpus
from tiny_encoder import make_tiny_static

import_ray()

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
