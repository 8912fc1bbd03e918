"""Metrics against hand arithmetic, scipy, trec_eval and brute force."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hpdsearch.errors import ShapeError
from hpdsearch.evaluation import (
    mrr_at_k,
    ndcg_at_k,
    neighbor_agreement,
    paired_bootstrap,
    rank_doc_ids,
    recall_at_k,
    search_agreement,
    spearman,
)

JUDGED = {"a": 3, "b": 1, "c": 0, "d": 2, "e": -1}
few = settings(max_examples=25, deadline=None)
doc_ids = st.sampled_from([f"d{number:02}" for number in range(30)])
judgements = st.dictionaries(doc_ids, st.integers(-1, 3), min_size=1, max_size=20)
# Distinct scores: trec_eval breaks ties the other way round.
runs = st.lists(doc_ids, min_size=1, unique=True).map(lambda ids: {i: float(-rank) for rank, i in enumerate(ids)})


def test_ndcg_mrr_and_recall_equal_hand_arithmetic():
    found = ["c", "b", "x", "a"]
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(found, JUDGED, 10) == pytest.approx((1 / math.log2(3) + 3 / math.log2(5)) / ideal)
    assert ndcg_at_k(found, JUDGED, 2) == pytest.approx((1 / math.log2(3)) / (3 + 2 / math.log2(3)))
    assert recall_at_k(found, JUDGED, 4) == pytest.approx(2 / 3)
    assert recall_at_k(found, JUDGED, 2) == pytest.approx(1 / 3)
    assert mrr_at_k(found, JUDGED, 10) == 1 / 2
    assert mrr_at_k(["c", "b"], JUDGED, 1) == 0
    assert [metric(["c"], {"c": 0, "e": -1}) for metric in (ndcg_at_k, recall_at_k, mrr_at_k)] == [0, 0, 0]


def test_equal_scores_are_ranked_by_doc_id():
    assert rank_doc_ids({"b": 0.5, "a": 0.5, "c": 0.9, "d": 0.1}) == ["c", "a", "b", "d"]


@few
@given(run=runs, judged=judgements)
def test_metrics_equal_trec_eval(run, judged):
    measures = {"ndcg_cut_5", "recall_5", "recip_rank"}
    expected = pytrec_eval.RelevanceEvaluator({"q": judged}, measures).evaluate({"q": run})["q"]
    found = rank_doc_ids(run)
    assert ndcg_at_k(found, judged, 5) == pytest.approx(expected["ndcg_cut_5"])
    assert recall_at_k(found, judged, 5) == pytest.approx(expected["recall_5"])
    assert mrr_at_k(found, judged, len(found)) == pytest.approx(expected["recip_rank"])


@few
@given(judged=judgements.filter(lambda judged: max(judged.values()) > 0), k=st.integers(1, 20))
def test_the_ideal_order_has_ndcg_and_mrr_1(judged, k):
    ideal = rank_doc_ids(judged)
    assert ndcg_at_k(ideal, judged, k) == pytest.approx(1)
    assert mrr_at_k(ideal, judged, k) == 1
    assert recall_at_k(ideal, judged, len(ideal)) == 1
    assert 0 <= ndcg_at_k(ideal[::-1], judged, k) <= 1 + 1e-12


values = st.integers(-4, 4)  # few values: ties are common


@few
@given(pairs=st.lists(st.tuples(values, values), min_size=2, max_size=30))
def test_spearman_equals_scipy_and_depends_only_on_the_order(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    if len(set(a)) < 2 or len(set(b)) < 2:
        with pytest.raises(ShapeError, match="at least two different values"):
            spearman(a, b)
        return
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(np.exp(a), b) == pytest.approx(spearman(a, b), abs=1e-12)


def test_spearman_of_lists_that_differ_in_length_is_an_error():
    with pytest.raises(ShapeError, match="equal length, got 2 and 3"):
        spearman([1, 2], [1, 2, 3])


def nearest_by_brute_force(query, rows, k, skip=None):
    cosines = [
        (-round(float(np.dot(query, row) / np.linalg.norm(query) / np.linalg.norm(row)), 6), number)
        for number, row in enumerate(rows)
        if number != skip
    ]
    return {number for _, number in sorted(cosines)[:k]}


def test_neighbor_agreement_equals_brute_force_over_several_blocks(monkeypatch):
    monkeypatch.setattr("hpdsearch.evaluation.metrics.BLOCK", 7)  # 30 texts are then five blocks, the last one shorter
    rng = np.random.default_rng(3)
    teacher = rng.normal(size=(30, 12))
    ours = (teacher + rng.normal(size=(30, 12)))[:, :8]
    ours[11] = ours[4]  # equal texts
    k = 5
    shares = [
        len(nearest_by_brute_force(ours[i], ours, k, i) & nearest_by_brute_force(teacher[i], teacher, k, i)) / k
        for i in range(30)
    ]
    assert 0.2 < np.mean(shares) < 0.9
    assert neighbor_agreement(ours, teacher, k) == pytest.approx(np.mean(shares))
    assert neighbor_agreement(ours, teacher, 29) == 1, "all texts but the text itself, however far they are"

    shares = [
        len(nearest_by_brute_force(ours[i], ours[20:], k) & nearest_by_brute_force(teacher[i], teacher[20:], k)) / k
        for i in range(20)
    ]
    assert search_agreement((ours[:20], ours[20:]), (teacher[:20], teacher[20:]), k) == pytest.approx(np.mean(shares))


def test_rotated_and_scaled_vectors_agree_fully():
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(40, 6))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert neighbor_agreement(teacher @ turn * rng.uniform(1, 9, size=(40, 1)), teacher) == 1
    assert neighbor_agreement(rng.normal(size=(40, 6)), teacher) < 0.6


@pytest.mark.parametrize(
    ("n_ours", "n_teacher", "k", "message"),
    [(5, 6, 2, "same texts"), (5, 5, 5, r"k in 1\.\.4"), (5, 5, 0, r"k in 1\.\.4"), (0, 0, 1, r"k in 1\.\.-1")],
)
def test_the_errors_of_agreement_name_the_wrong_argument(n_ours, n_teacher, k, message):
    with pytest.raises(ShapeError, match=message):
        neighbor_agreement(np.ones((n_ours, 3)), np.ones((n_teacher, 4)), k)


def test_the_bootstrap_interval_is_that_of_the_normal_distribution():
    differences = np.random.default_rng(5).normal(loc=1.0, scale=2.0, size=400)
    low, high = paired_bootstrap(differences, seed=1, rounds=2000)
    half = 1.96 * differences.std() / math.sqrt(400)
    assert low == pytest.approx(differences.mean() - half, abs=0.03)
    assert high == pytest.approx(differences.mean() + half, abs=0.03)
    assert paired_bootstrap(differences, seed=1, rounds=2000) == (low, high)
    assert paired_bootstrap(differences, seed=2, rounds=2000) != (low, high)
    assert paired_bootstrap([3.0], seed=0) == (3.0, 3.0)
    with pytest.raises(ShapeError, match="n >= 1"):
        paired_bootstrap([], seed=0)
