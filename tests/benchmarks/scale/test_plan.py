"""Test the benchmark of the capacity plan: shards, joined texts, distributions, and a small run."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hpdsearch import Document
from hpdsearch.cluster.figures import read_figures
from hpdsearch.index.shards.cluster_file import choose_shard
from hpdsearch.search import Mode
from hpdsearch.search.fusion import FUSION_DEPTH
from hpdsearch.search.one_shard import PartOptions, merge_parts

pytestmark = pytest.mark.slow

fanout = importlib.import_module("benchmarks.scale.fanout")
plan = importlib.import_module("benchmarks.scale.plan")
plan_texts = importlib.import_module("benchmarks.scale.plan_texts")


def test_joined_texts_have_at_least_the_words_and_hold_each_text_once() -> None:
    documents = plan_texts.join_texts(["a b c", "d e", "f g h i", "j"], words=6, n=10)
    assert [one.text for one in documents] == ["a b c d e f g h i"]
    documents = plan_texts.join_texts(["a b c", "d e", "f g h i", "j"], words=4, n=10)
    assert [one.text for one in documents] == ["a b c d e", "f g h i"]
    assert len(plan_texts.join_texts(["a b"] * 10, words=2, n=3)) == 3


def test_the_shape_has_the_quantiles_of_all_latencies() -> None:
    latencies = np.random.default_rng(1).gamma(3, size=(5_500, 4))
    shape = fanout.fit_shape(latencies)
    middle = np.median(latencies)
    assert shape.n_samples == 22_000
    assert shape.mean == pytest.approx(latencies.mean() / middle, rel=1e-4)
    for p in (0.5, 0.95, 0.99):
        assert shape.quantile(p).value == pytest.approx(np.quantile(latencies, p) / middle, rel=1e-4)
    last, ratio = shape.quantiles[-1]
    assert (last, ratio) == (0.9995, pytest.approx(np.quantile(latencies, 0.9995) / middle, rel=1e-4))
    assert (latencies > ratio * middle).sum() >= 10
    # independent latencies: the formula is the truth
    slowest = np.quantile(latencies.max(axis=1), 0.95) / middle
    assert shape.maximum_quantile(0.95, 4).value == pytest.approx(slowest, rel=0.05)


@pytest.mark.parametrize("n_shards", [2, 8])
def test_queries_that_are_slow_in_all_shards_are_no_independent_draws(n_shards) -> None:
    rng = np.random.default_rng(5)
    shared = np.exp(0.4 * rng.normal(size=(8_000, 1)))  # of a long query, or of a moment in which the computer is slow
    latencies = shared * np.exp(0.3 * rng.normal(size=(8_000, n_shards)))
    slowest = latencies.max(axis=1) / np.median(latencies)
    shape = fanout.fit_shape(latencies)
    for p in (0.5, 0.95, 0.99):
        assert shape.maximum_quantile(p, n_shards).value == pytest.approx(np.quantile(slowest, p), rel=0.05)
    mixed = rng.permutation(latencies.ravel()).reshape(latencies.shape)
    slowest = mixed.max(axis=1) / np.median(mixed)
    assert fanout.fit_shape(mixed).maximum_quantile(0.5, n_shards).value == pytest.approx(np.median(slowest), rel=0.05)


def test_the_latencies_of_one_shard_are_taken_to_be_independent() -> None:
    latencies = np.random.default_rng(6).gamma(3, size=(8_000, 1))
    slowest = latencies.reshape(-1, 4).max(axis=1) / np.median(latencies)
    assert fanout.fit_shape(latencies).maximum_quantile(0.5, 4).value == pytest.approx(np.median(slowest), rel=0.03)


class WaitingIndex:
    """An index whose searches wait for a core as often as told."""

    def __init__(self, n_waiting: int, clock: list[float]) -> None:
        self.n_left = n_waiting
        self.clock = clock
        self.n_searches = 0

    def search(self, text: str, k: int, *, mode: str) -> None:
        self.n_searches += 1
        if self.n_left:
            self.n_left -= 1
            self.clock[0] += 1000


@pytest.mark.parametrize(("n_waiting", "n_searches"), [(0, 1), (3, 4), (99, fanout.ATTEMPTS)])
def test_a_search_that_waited_is_repeated_and_at_last_left_out(n_waiting, n_searches, monkeypatch) -> None:
    clock = [0.0]
    index = WaitingIndex(n_waiting, clock)
    monkeypatch.setattr(fanout, "waited_milliseconds", lambda: clock[0])
    milliseconds = fanout.time_search(index, "cat", "dense")
    assert index.n_searches == n_searches
    assert np.isnan(milliseconds) == (n_waiting >= fanout.ATTEMPTS)


def test_what_was_left_out_is_in_no_quantile() -> None:
    latencies = np.random.default_rng(2).gamma(3, size=(1_000, 2))
    complete = fanout.fit_shape(latencies)
    holes = np.vstack([latencies, np.full((50, 2), np.nan)])
    assert fanout.fit_shape(holes) == complete
    found = {one["name"]: one["median"] for one in fanout.latency_results("dense", holes)}
    assert found["dense: searches left out"] == pytest.approx(100 / 21, rel=1e-4)
    assert found["dense: slowest of 2, p95"] == pytest.approx(np.quantile(latencies.max(axis=1), 0.95), rel=1e-4)


@pytest.mark.parametrize(("mode", "n_candidates"), [("dense", 10), ("hybrid", 2 * FUSION_DEPTH)])
def test_candidates_for_merging_are_as_many_as_a_shard_may_return(mode, n_candidates) -> None:
    options = PartOptions(10, Mode(mode))
    parts = fanout.make_parts(3, options)
    assert [len(part) for part in parts] == [n_candidates] * 3
    assert len({one.doc for part in parts for one in part}) == 3 * n_candidates
    assert len(merge_parts(parts, options)) == 10


def test_the_rates_of_a_device_are_figures_of_two_lengths(tiny_encoder) -> None:
    texts = [f"cat and dog {number} by the green river" for number in range(400)]
    rates = plan.measure_rates(tiny_encoder, "tiny", "cuda", texts)
    assert [rate["device"] for rate in rates] == ["cuda", "cuda"]
    assert rates[0]["n_tokens"] < rates[1]["n_tokens"]
    assert all(rate["texts_per_second"] > 0 for rate in rates)


def test_a_small_run_writes_a_result_a_picture_and_figures_that_can_be_read(tmp_path: Path, monkeypatch) -> None:
    output = tmp_path / "plan.json"
    options = ["--n", "3000", "--texts", "200", "--shards", "2", "--repeats", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["plan", *options])
    plan.main()
    made = json.loads(output.read_text())
    assert {one["what"] for one in made["measurements"]} >= {"shard", "slowest", "formula", "merge", "passages"}
    assert (tmp_path / "fanout.svg").stat().st_size > 10_000
    figures = read_figures(tmp_path / "figures.json")
    assert len(figures.texts) == len(plan_texts.WORDS)
    assert set(figures.shapes) == {"dense", "hybrid"}
    first = (tmp_path / "figures.json").read_bytes()
    monkeypatch.setattr(sys, "argv", ["plan", "--from-result", "--output", str(output)])
    plan.main()
    assert (tmp_path / "figures.json").read_bytes() == first


def test_documents_of_a_shard_are_those_of_its_hash(tmp_path: Path, tiny_encoder) -> None:
    from hpdsearch import Index

    documents = [Document(f"d{number}", f"cat {number}") for number in range(40)]
    folders = fanout.build_shards(documents, 2, tiny_encoder, tmp_path)
    found = []
    for number, folder in enumerate(folders):
        with Index.open(folder, encoder=tiny_encoder) as index:
            ids = [hit.doc_id for hit in index.search("cat", 40)]
        assert all(choose_shard(doc_id, 2) == number for doc_id in ids)
        found += ids
    assert sorted(found) == sorted(one.doc_id for one in documents)
