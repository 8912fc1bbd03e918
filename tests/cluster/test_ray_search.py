"""Searches on a Ray cluster give the hits of the folder opened in one process, also while actors die."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ray_clusters import find_workers, import_ray, start_cluster
from sharding import EXACT, make_corpus
from tiny_encoder import make_tiny_static

import_ray()

from hpdsearch import Document, Encoder, Index  # noqa: E402
from hpdsearch.cluster.ray.ray_index import RayIndex  # noqa: E402
from hpdsearch.errors import FilterError, QueryError  # noqa: E402

pytestmark = pytest.mark.slow
MODES = ["dense", "lexical", "hybrid"]
QUERIES = ["cat dog", "king of the sea", "E1234-77 gold", "stone +water", '"the cat"', "-moon wind cold", "v2.7.1"]
FULL_SERVICE_SECONDS = 10
RATE = 20  # queries a second


@pytest.fixture(scope="module")
def cluster():
    with start_cluster(1, 1) as started:
        yield started


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Encoder:
    return Encoder.load(make_tiny_static(tmp_path_factory.mktemp("encoders") / "static"))


@pytest.fixture
def folder(encoder, tmp_path) -> Path:
    path = tmp_path / "words"
    Index.build(path, make_corpus(200), encoder=encoder, spec=EXACT, shards=3, processes=1).close()
    return path


@pytest.fixture
def pair(cluster, folder) -> Iterator[tuple[RayIndex, Index]]:
    with RayIndex(folder) as on_ray, Index.open(folder) as alone:
        yield on_ray, alone


def test_hits_scores_and_order_are_those_of_one_process(pair) -> None:
    on_ray, alone = pair
    for mode in MODES:
        for where in (None, "year > 2002"):
            for k in (3, 40):
                expected = alone.search(QUERIES, k, mode=mode, where=where, min_score=0.1)
                found = on_ray.search(QUERIES, k, mode=mode, where=where, min_score=0.1)
                assert found == expected
                assert all(hits.missing_shards == () for hits in found)
    assert on_ray.search("cat", 5) == alone.search("cat", 5)
    assert on_ray.like("doc-3", 7) == alone.like("doc-3", 7)
    ids = ["doc-9", "doc-1", "doc-9"]
    for one, other in zip(on_ray.vectors(ids), alone.vectors(ids), strict=True):
        np.testing.assert_array_equal(one, other)


def test_errors_are_those_of_one_process(pair) -> None:
    on_ray, _ = pair
    for index in pair:
        with pytest.raises(FilterError, match="colour"):
            index.search("cat", where="colour = 'red'")
        with pytest.raises(QueryError, match="blank"):
            index.search(" ")
        with pytest.raises(QueryError, match="not in the index"):
            index.like("nothing")
    with pytest.raises(QueryError, match="without --ray"):
        on_ray.search("cat", explain=True)


def test_changes_are_found_by_actors_that_had_opened_an_earlier_commit(pair, folder) -> None:
    on_ray, alone = pair
    on_ray.search("cat")
    alone.add([Document("new", "a zebra and a giraffe")])
    alone.delete(["doc-7"])
    on_ray.refresh()
    for mode in MODES:
        assert on_ray.search(["zebra giraffe", *QUERIES], 20, mode=mode) == alone.search(
            ["zebra giraffe", *QUERIES], 20, mode=mode
        )
    on_ray.add([Document("newer", "a zebra again")])
    alone.refresh()
    assert on_ray.search("zebra", mode="lexical") == alone.search("zebra", mode="lexical")
    Index.build(folder, make_corpus(60, seed=3), encoder="static", shards=2, processes=1, overwrite=True).close()
    on_ray.refresh()
    with Index.open(folder) as again:
        assert on_ray.search("cat", 30, mode="lexical") == again.search("cat", 30, mode="lexical")


def kill_an_actor(cluster) -> None:
    processes = [process for node in cluster.list_all_nodes() for process in find_workers(node, "ShardActor")]
    os.kill(processes[0].pid, signal.SIGKILL)


def test_a_replica_answers_for_a_killed_actor(cluster, folder) -> None:
    with RayIndex(folder, replicas=2, deadline=20) as on_ray, Index.open(folder) as alone:
        expected = alone.search(QUERIES, 10)
        kill_an_actor(cluster)
        for _ in range(10):
            found = on_ray.search(QUERIES, 10)
            assert found == expected
            assert all(hits.missing_shards == () for hits in found)


def test_a_killed_actor_gives_flagged_partial_answers_and_full_service_again(cluster, folder) -> None:
    with RayIndex(folder, deadline=0.3) as on_ray, Index.open(folder) as alone:
        names = on_ray.cluster.shards
        expected = {query: alone.search(query, 200, mode="dense") for query in QUERIES}
        of_shard = {}
        for name in names:
            with Index.open(folder / name) as shard:
                of_shard[name] = {document.doc_id for document in shard.documents()}
        outcomes: list[tuple[float, bool]] = []
        wrong = []

        def ask(number: int) -> None:
            query = QUERIES[number % len(QUERIES)]
            hits = on_ray.search(query, 10, mode="dense")
            gone = set().union(*(of_shard[name] for name in hits.missing_shards))
            right = [hit for hit in expected[query] if hit.doc_id not in gone][:10]
            if list(hits) != right:
                wrong.append(number)
            outcomes.append((time.monotonic(), not hits.missing_shards))

        start = time.monotonic()
        killed = 0.0
        threads = []
        for number in range(RATE * (FULL_SERVICE_SECONDS + 4)):
            if number == RATE:
                kill_an_actor(cluster)
                killed = time.monotonic()
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            time.sleep(max(0, start + (number + 1) / RATE - time.monotonic()))
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(outcomes) == len(threads)
    assert not all(is_full for _, is_full in outcomes)
    assert all(is_full for when, is_full in outcomes if when > killed + FULL_SERVICE_SECONDS)
