"""Test intervals and targets of the quality benchmark, by hand and against scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.quality import goals as quality_targets
from benchmarks.quality import intervals as quality_intervals
from benchmarks.quality.intervals import interval_over_pairs, interval_over_queries
from benchmarks.report import encoders_page
from hpdsearch.evaluation import paired_bootstrap


def by_query(*of_collections):
    return [{str(number): value for number, value in enumerate(values)} for values in of_collections]


def test_the_interval_over_queries_is_that_of_the_paired_bootstrap():
    values = np.random.default_rng(1).normal(3, 10, 200)
    zeros = np.zeros(200)
    low, high = interval_over_queries(by_query(values), by_query(zeros), seed=0)
    assert (low, high) == pytest.approx(paired_bootstrap(values, seed=5), abs=0.25)
    # A second collection where both are equal halves the mean and its interval.
    halved = interval_over_queries(by_query(values, zeros[:3]), by_query(zeros, zeros[:3]), seed=0)
    assert halved == pytest.approx((low / 2, high / 2), rel=0.1)
    assert interval_over_queries(by_query(zeros + 5), by_query(zeros), seed=0) == (5, 5)


def task(n, seed, noises, decimals=1):
    """Return human scores with many equal values, and one noisy copy per noise."""
    rng = np.random.default_rng(seed)
    human = np.round(rng.uniform(0, 5, n), decimals)
    return human, [np.round(human + rng.normal(0, noise, n), 1) for noise in noises]


def test_every_draw_has_the_correlation_of_scipy():
    human, (ours,) = task(40, 0, [1.0])
    counts = quality_intervals._draw_counts(40, 30, np.random.default_rng(3))
    assert (counts.sum(axis=1) == 40).all()
    ranks = [quality_intervals._rank_draws(values, counts) for values in (ours, human)]
    found = quality_intervals._correlations(*ranks, counts)
    for draw, value in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(40), draw)
        assert value == pytest.approx(spearmanr(ours[rows], human[rows]).statistic)


@pytest.mark.slow
def test_the_interval_over_pairs_is_that_of_a_bootstrap_with_scipy():
    tasks = [task(60, 1, [0.8, 2.0]), task(25, 2, [0.5, 1.5])]
    human = [scores for scores, _ in tasks]
    ours, theirs = ([systems[which] for _, systems in tasks] for which in (0, 1))
    rng = np.random.default_rng(9)
    draws = np.zeros(1000)
    for a, b, scores in zip(ours, theirs, human, strict=True):
        for number in range(1000):
            rows = rng.choice(len(scores), len(scores))
            above = spearmanr(a[rows], scores[rows]).statistic - spearmanr(b[rows], scores[rows]).statistic
            draws[number] += 100 * above / 2
    wanted = np.percentile(draws, [2.5, 97.5])
    assert interval_over_pairs(ours, theirs, human, seed=0) == pytest.approx(wanted, abs=1.5)
    assert interval_over_pairs(ours, ours, human, seed=0) == (0, 0)
    assert interval_over_pairs(ours, theirs, human, seed=0) == interval_over_pairs(ours, theirs, human, seed=0)


def test_draws_without_a_correlation_are_ignored():
    # One draw in nine has one of the three pairs three times; all others give correlation 1 for ours and -1 for theirs.
    ours, human = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0])
    assert interval_over_pairs([ours], [-ours], [human], seed=0) == pytest.approx((200, 200))


def row_by_hand(name, dim, sts, *ndcg, of_teacher=None):
    collections = {str(number): {"nDCG@10": value} for number, value in enumerate(ndcg)}
    means = {"nDCG@10": sum(ndcg) / len(ndcg), "recall@100": 0, "MRR@10": 0}
    row = {"system": name, "dim": dim, "sts": {"average": sts, "tasks": {"S": sts}}}
    kept = dict(zip(("STS", "nDCG@10"), of_teacher or (90, 90), strict=True))
    return row | {"retrieval": {"means": means, "collections": collections}, "of_teacher": kept}


def test_targets_by_hand():
    rows = [
        row_by_hand("base", 256, 80, 50, 40, 30, of_teacher=(99.5, 95.9)),
        row_by_hand("mini", 384, 79, 49, 45, 29),
        row_by_hand("other", 256, 99, 99, 99, 99),
    ]
    measurements, targets = quality_targets.measure_goals(rows, "mini")
    seen = {item["name"]: (item["measured"], item["met"]) for item in targets}
    assert seen == {
        "base, 256: STS": (99.5, True),
        "base, 256: nDCG@10": (95.9, False),
        "base, 256, above mini, 384: STS": (1, True),
        "base, 256, above mini, 384: nDCG@10": (-1, False),
        "base, 256, above mini, 384: collections": (2, True),
    }
    assert [item["name"] for item in measurements] == list(seen)
    assert {(item["system"], item["dim"]) for item in measurements} == {("base", 256)}
    assert [item["what"] for item in measurements[:3]] == [
        "STS of teacher",
        "nDCG@10 of teacher",
        "STS above mini, 384",
    ]


def test_asymmetric_search_of_base_has_a_target():
    rows = [
        row_by_hand(f"{name} asks big projected", dim, 80, 50, of_teacher=(90, 96.5)) | {"what": "asymmetric"}
        for name, dim in (("base", 256), ("base", 128), ("small", 256))
    ]
    _, targets = quality_targets.measure_goals(rows, "")
    assert [(item["name"], item["measured"], item["limit"], item["met"]) for item in targets] == [
        ("base's queries, teacher's documents, 256: nDCG@10", 96.5, 96, True)
    ]


def test_without_a_teacher_there_is_no_target_in_percent():
    row = row_by_hand("base", 256, 80, 50)
    del row["of_teacher"]
    assert quality_targets.measure_goals([row], "") == ([], [])


def test_int8_is_shown_beside_float32():
    rows = [row_by_hand("base", 256, 80.0, 50.0), row_by_hand("base float32", 256, 80.25, 49.5)]
    text = encoders_page.exports({"systems": rows})
    assert text.splitlines()[2] == "| base | 256 | 80.00 | 80.25 | -0.25 | 50.00 | 49.50 | +0.50 |"
