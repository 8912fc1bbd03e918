"""Test the latency benchmark: every mode, filter and stage is measured."""

import importlib
import math

from hpdsearch.index import Index

query_latency = importlib.import_module("benchmarks.product.query_latency")

QUERIES = ["a small cat", "ship", "old song"]


def test_every_mode_filter_and_stage_is_measured_for_every_query(index_folder, tiny_encoder):
    made = query_latency.measure(index_folder, tiny_encoder, QUERIES, ["size >= 10"], k=3, repeats=2)
    values = {item["name"]: item["values"] for item in made}
    passes = ["dense", "lexical", "hybrid", "hybrid where size >= 10", "first use of size >= 10"]
    stages = ["total", "encode", "search", "fetch"]
    expected = {f"{name}, {stage}" for name in passes for stage in stages} - {"lexical, encode"}
    assert set(values) == expected
    for name in passes[:4]:
        assert len(values[f"{name}, total"]) == 2 * len(QUERIES)
    assert len(values["first use of size >= 10, total"]) == 2
    for position, total in enumerate(values["hybrid, total"]):
        parts = [values[f"hybrid, {stage}"][position] for stage in stages[1:]]
        assert all(part > 0 for part in parts)
        assert math.isclose(sum(parts), total, rel_tol=1e-3)


def test_the_stage_clock_removes_its_patches(index_folder, tiny_encoder):
    with Index.open(index_folder, encoder=tiny_encoder) as index:
        before = index.search(QUERIES[0], 5)
        query_latency.time_query(index, tiny_encoder, QUERIES[0], query_latency.Case("hybrid"), 5)
        assert "encode" not in vars(tiny_encoder)
        assert index.search(QUERIES[0], 5) == before
