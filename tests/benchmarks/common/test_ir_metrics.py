"""Test the values of ir-measures by hand and against hpdsearch's own metrics."""

import math
import random

import pytest

from benchmarks.common import ir_metrics
from hpdsearch.evaluation import mrr_at_k, ndcg_at_k, recall_at_k

METRICS = ["nDCG@10", "recall@100", "MRR@10"]


def values(grades, found):
    made = ir_metrics.evaluate_run({"q": grades}, {"q": found})
    return [made[metric]["q"] for metric in METRICS]


def test_values_by_hand():
    grades = {"a": 3, "b": 1, "c": 0, "d": 2}
    # Linear gain: 1 at rank 2 and 3 at rank 3, against 3, 2, 1; of three relevant documents two are found.
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    ndcg = (1 * second + 3 * third) / (3 + 2 * second + 1 * third)
    assert values(grades, ["c", "b", "a", "x"]) == pytest.approx([100 * ndcg, 100 * 2 / 3, 50])


def test_the_given_order_counts_whatever_the_ids_are():
    assert values({"a": 1}, ["a", "z"])[2] == 100
    assert values({"z": 1}, ["a", "z"])[2] == 50
    many = [f"{number:03}" for number in range(150)]
    assert values({"009": 1}, many) == pytest.approx([100 / math.log2(11), 100, 10])
    assert values({"010": 1, "099": 1, "100": 1}, many) == pytest.approx([0, 100 * 2 / 3, 0])


def test_a_query_without_hits_scores_zero():
    made = ir_metrics.evaluate_run({"one": {"a": 1}, "two": {"a": 1}, "three": {"a": 1}}, {"two": [], "three": ["a"]})
    assert made == {metric: {"one": 0, "two": 0, "three": 100} for metric in METRICS}
    assert [list(found) for found in made.values()] == [["one", "two", "three"]] * 3


def test_queries_without_judgments_are_ignored():
    made = ir_metrics.evaluate_run({"one": {"a": 1}}, {"one": ["a"], "other": ["b"]})
    assert made == {metric: {"one": 100} for metric in METRICS}


def test_grades_of_zero_and_below_have_no_gain():
    assert values({"a": 0}, ["a"]) == [0, 0, 0]
    assert values({"a": -1, "b": 1}, ["a", "b"]) == pytest.approx([100 / math.log2(3), 100, 50])


def test_a_duplicate_document_is_an_error():
    with pytest.raises(SystemExit, match="query q: expected doc_ids that differ, got 'b' twice"):
        values({"a": 1}, ["a", "b", "b"])


def test_a_second_implementation_agrees_on_seeded_rankings():
    rng = random.Random(0)
    documents = [f"d{number}" for number in range(300)]
    qrels = {f"q{n}": {doc: rng.choice([0, 0, 1, 2, 3]) for doc in rng.sample(documents, 25)} for n in range(50)}
    run = {query_id: rng.sample(documents, rng.choice([3, 10, 100, 200])) for query_id in qrels}
    made = ir_metrics.evaluate_run(qrels, run)
    for query_id, grades in qrels.items():
        wanted = [ndcg_at_k(run[query_id], grades), recall_at_k(run[query_id], grades), mrr_at_k(run[query_id], grades)]
        assert [made[metric][query_id] for metric in METRICS] == pytest.approx([100 * value for value in wanted])
