"""A build on a Ray cluster goes on when a node is lost, and after its driver was killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ray_clusters import find_workers, import_ray, start_cluster
from sharding import EXACT, make_corpus, stored_values

import_ray()

from hpdsearch import Index  # noqa: E402
from hpdsearch.cluster.ray import runner as ray_runner  # noqa: E402
from hpdsearch.cluster.ray.build import build_on_ray  # noqa: E402
from hpdsearch.cluster.ray.runner import RayRunner  # noqa: E402
from hpdsearch.corpus import read_corpus  # noqa: E402
from hpdsearch.index.shards.build import BLOCKS, ShardedBuild  # noqa: E402

pytestmark = pytest.mark.slow
WAIT = 40  # seconds for an event that takes few


def wait_until(is_true) -> None:
    end = time.monotonic() + WAIT
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def count_blocks(folder: Path) -> int:
    return len(list((folder / BLOCKS).glob("*.npz")))


def test_a_node_that_is_lost_while_it_encodes_loses_and_doubles_nothing(tmp_path) -> None:
    documents = make_corpus(900)
    folder = tmp_path / "ray"
    removed = []
    with start_cluster(1, 1) as cluster:

        def remove_a_node() -> None:
            wait_until(lambda: count_blocks(folder) >= 2)
            node = next(node for node in cluster.worker_nodes if find_workers(node, "MapWorker"))
            cluster.remove_node(node, allow_graceful=False)
            removed.append(count_blocks(folder))

        thread = threading.Thread(target=remove_a_node)
        thread.start()
        build = ShardedBuild(3, 2, EXACT)
        with build_on_ray(folder, documents, build, encoder="small", runner=RayRunner(2, 1, 25)) as on_ray:
            thread.join()
            found = stored_values(on_ray)
    assert removed
    assert removed[0] < 36  # it was encoding: 900 documents are at least 36 blocks
    with Index.build(tmp_path / "one", documents, encoder="small", spec=EXACT, shards=3, processes=1) as alone:
        expected = stored_values(alone)
    assert found.keys() == expected.keys()
    for doc_id, (document, _) in found.items():
        assert document == expected[doc_id][0]
        np.testing.assert_allclose(document.vectors, expected[doc_id][0].vectors, atol=2e-3)


def test_a_killed_driver_goes_on_and_encodes_no_committed_block_again(tmp_path, monkeypatch) -> None:
    documents = make_corpus(2500)
    corpus = tmp_path / "corpus.jsonl"
    lines = [{"id": each.doc_id, "text": each.text, "title": each.title} for each in documents]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = tmp_path / "ray"
    code = (
        "import sys; from pathlib import Path; from hpdsearch.corpus import read_corpus\n"
        "from hpdsearch.cluster.ray.build import build_on_ray; from hpdsearch.cluster.ray.runner import RayRunner\n"
        "from hpdsearch.index.shards.build import ShardedBuild\n"
        "build_on_ray(Path(sys.argv[2]), read_corpus(sys.argv[1]), ShardedBuild(3, 2), address=sys.argv[3],"
        " encoder='small', runner=RayRunner(2, 1, 50))"
    )
    root = str(Path(ray_runner.__file__).parents[3])
    with start_cluster(1, 1) as cluster:
        driver = subprocess.Popen(
            [sys.executable, "-c", code, str(corpus), str(folder), cluster.address],
            env={**os.environ, "PYTHONPATH": root},
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: count_blocks(folder) >= 4)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        wait_until(lambda: not any(find_workers(node, "MapWorker") for node in cluster.worker_nodes))
        assert not (folder / "cluster.json").exists()
        committed = {path.name for path in (folder / BLOCKS).glob("*.npz")}
        encoded = []
        encode = ray_runner.encode_blocks

        def record(jobs, *arguments):
            encoded.extend(Path(job.path).name for job in jobs)
            return encode(jobs, *arguments)

        monkeypatch.setattr(ray_runner, "encode_blocks", record)
        build = ShardedBuild(3, 2)
        with build_on_ray(folder, read_corpus(corpus), build, encoder="small", runner=RayRunner(2, 1, 50)) as finished:
            assert len(finished) == len(documents)
            assert {document.doc_id for document in finished.documents()} == {each.doc_id for each in documents}
            assert finished.report is not None
            assert 0 < finished.report.n_resumed < finished.report.n_passages
        assert encoded
        assert not committed & set(encoded)
        assert len(set(encoded)) == len(encoded)
