"""Operating points, against ann_recall counted in numpy, and the recall target."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from vectors import build_segment, compute_cosines, make_clusters, make_ellipsoid

from hpdsearch.dense import Codec, IndexSpec, Kind, OperatingPoint, OperatingPoints
from hpdsearch.dense.tuning import draw_held_out, lower_bound, pareto_front

N = 20_000
VECTORS = make_clusters(N, 24)


@pytest.fixture(
    scope="module", params=[IndexSpec(), IndexSpec(Kind.IVF), IndexSpec(Kind.IVF, Codec.RABITQ, ann_recall=0.9)]
)
def tuned(request, tmp_path_factory):
    return build_segment(tmp_path_factory.mktemp("tuned"), VECTORS, request.param, first_row=0)


def compute_ann_recall(seg, queries, own=None, point=None):
    """Compute ann_recall@10 in numpy: each query's own row is left out of both results; equal scores count as found."""
    exact = compute_cosines(VECTORS, queries)
    others = np.ones(N, bool)
    found = []
    for query, scores in enumerate(exact):
        if own is not None:
            scores[own[query]] = -2
            others[own] = True
            others[own[query]] = False
        (rows,), _ = seg.nearest(queries[query : query + 1], 10, allowed=None if own is None else others, point=point)
        found.append(min(10, int((scores[rows[rows >= 0]] >= np.sort(scores)[-10] - 1e-6).sum())) / 10)
    return float(np.mean(found))


@pytest.mark.slow
def test_operating_points_have_the_ann_recall_that_numpy_counts(tuned):
    asked = draw_held_out(tuned.vectors)
    assert len(asked.positions) == tuned.operating_points.n_queries == 300
    exact = compute_cosines(VECTORS, asked.queries)
    exact[np.arange(300), asked.positions] = -2
    np.testing.assert_allclose(asked.kth_scores, np.sort(exact, axis=1)[:, -10], atol=1e-6)
    for point in tuned.operating_points.points:
        counted = compute_ann_recall(tuned, asked.queries, asked.positions, point)
        assert point.ann_recall == pytest.approx(counted, abs=0.004)  # if codes tie, either row is correct


@pytest.mark.slow
def test_the_recall_target_is_met_for_other_queries(tuned):
    assert tuned.operating_points.is_met
    assert tuned.operating_points.recall_target == tuned.spec.ann_recall
    queries = make_clusters(N + 500, 24)[N:]
    assert compute_ann_recall(tuned, queries) >= tuned.spec.ann_recall - 0.01
    chosen = tuned.operating_points.choose(tuned.spec.ann_recall)
    assert (tuned.spec.nprobe, tuned.spec.rescore) == (chosen.nprobe, chosen.rescore)
    assert chosen.ann_recall_lower >= tuned.spec.ann_recall


def test_operating_points_ascend_in_ann_recall_and_time(tuned):
    points = tuned.operating_points.points
    assert all(a.ann_recall < b.ann_recall and a.milliseconds < b.milliseconds for a, b in pairwise(points))
    assert all(0 < p.ann_recall_lower < p.ann_recall <= 1 and p.rescore >= 1 for p in points)
    assert all((1 <= p.nprobe <= tuned.spec.nlist) if tuned.spec.nlist else p.nprobe == 0 for p in points)


def test_parameters_that_the_user_set_are_not_tuned(tmp_path):
    seg = build_segment(
        tmp_path, VECTORS, IndexSpec(Kind.IVF, Codec.PQ, nlist=50, nprobe=3, rescore=2, ann_recall=0.999)
    )
    assert (seg.spec.nlist, seg.spec.nprobe, seg.spec.rescore) == (50, 3, 2)
    (point,) = seg.operating_points.points
    assert (point.nprobe, point.rescore) == (3, 2)
    assert not seg.operating_points.is_met


def test_sq8_meets_a_recall_target_that_pq_misses(tmp_path):
    vectors = make_ellipsoid(12_000, 8)  # four subquantizers of four bits distinguish few vectors
    seg = build_segment(tmp_path, vectors, IndexSpec(ann_recall=0.99))
    assert (seg.spec.codec, seg.operating_points.is_met) == (Codec.SQ8, True)


def test_a_missed_recall_target_is_recorded_and_the_best_point_used(tmp_path):
    seg = build_segment(
        tmp_path, make_ellipsoid(12_000, 8), IndexSpec(Kind.FLAT, Codec.PQ, n_subquantizers=1, ann_recall=0.99)
    )
    assert not seg.operating_points.is_met
    assert seg.spec.rescore == seg.operating_points.points[-1].rescore
    assert seg.operating_points.points[-1].ann_recall < 0.99


@pytest.mark.parametrize(("n", "spec"), [(1_999, IndexSpec()), (2_500, IndexSpec(codec=Codec.F32))])
def test_small_and_exact_segments_are_not_measured(tmp_path, n, spec):
    seg = build_segment(tmp_path, make_ellipsoid(n, 8), spec)
    assert (seg.operating_points, seg.spec.rescore) == (None, 5)


def test_duplicates_of_a_neighbor_count_as_found(tmp_path):
    vectors = np.tile(make_ellipsoid(100, 16), (30, 1))
    seg = build_segment(tmp_path, vectors, IndexSpec())
    assert seg.operating_points.points[-1].ann_recall == 1


# ---- hand arithmetic


def test_the_lower_bound_equals_hand_arithmetic():
    # Wilson: p = 0.9, 1000 draws; no variance between queries beyond that of independent draws.
    p, n, z = 0.9, 1000, 1.645
    wilson = (p + z * z / (2 * n) - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    assert lower_bound(np.full(100, 0.9)) == pytest.approx(wilson)
    # Each query finds all or nothing, so each is one draw: a hundred draws in all.
    n = 100
    wilson = (p + z * z / (2 * n) - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    assert lower_bound(np.repeat([1.0, 0.0], [90, 10])) == pytest.approx(wilson)
    assert 0.998 < lower_bound(np.ones(300)) < 1


def test_the_lower_bound_is_below_the_true_value_19_times_in_20():
    rng = np.random.default_rng(0)
    truths = rng.beta(18, 2, size=(2_000, 300))  # each query has its own probability, 0.9 on average
    bounds = [lower_bound(rng.binomial(10, chances) / 10) for chances in truths]
    assert np.mean(np.array(bounds) < 0.9) == pytest.approx(0.95, abs=0.02)


def test_the_pareto_front_equals_hand_arithmetic():
    a, b, c, d = (OperatingPoint(0, 1, r, r, ms) for r, ms in [(0.5, 1.0), (0.4, 2.0), (0.9, 3.0), (0.9, 4.0)])
    assert pareto_front([d, c, b, a]) == [a, c]


def test_a_point_is_chosen_by_its_lower_bound():
    points = tuple(OperatingPoint(n, 1, n / 10, n / 10 - 0.04, float(n)) for n in (7, 8, 9))
    measured = OperatingPoints(points, 0.8, True, 300)
    assert [measured.choose(r).nprobe for r in (0.1, 0.65, 0.7, 0.75, 0.85, 0.99)] == [7, 7, 8, 8, 9, 9]
    assert OperatingPoints.from_dict(json.loads(json.dumps(measured.as_dict()))) == measured


def test_a_recall_gain_that_costs_less_than_timing_noise_is_taken():
    points = tuple(OperatingPoint(0, n, n / 10, n / 10, ms) for n, ms in ((7, 1.0), (8, 1.05), (9, 1.11)))
    assert [OperatingPoints(points, 0.7, True, 300).choose(recall).rescore for recall in (0.7, 0.75, 0.85)] == [8, 9, 9]
