"""The slowest of n shards, against draws and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.cluster.estimates import Basis
from hpdsearch.cluster.fanout import NORMAL, LatencyShape
from hpdsearch.errors import PlanError

# An exponential distribution above 1: its quantiles are straight in -log(1 - p).
PROBABILITIES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
EXPONENTIAL = LatencyShape(10_000_000, 2.0, tuple((p, 1 - math.log(1 - p)) for p in PROBABILITIES))


@pytest.mark.parametrize("n", [1, 8, 64, 256])
@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_the_maximum_of_exponential_latencies_is_that_of_the_closed_form(n, p) -> None:
    assert EXPONENTIAL.maximum_quantile(p, n).value == pytest.approx(1 - math.log(1 - p ** (1 / n)), rel=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("n", [1, 8, 64])
def test_the_maximum_of_dependent_latencies_is_that_of_drawn_ones(n, correlation) -> None:
    shape = LatencyShape(10_000_000, 2.0, EXPONENTIAL.quantiles, correlation)
    rng = np.random.default_rng(4)
    common, own = rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, n))
    scores = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    largest = np.vectorize(NORMAL.cdf)(scores.max(axis=1))
    for p in (0.5, 0.95, 0.99):
        drawn = shape.quantile(float(np.quantile(largest, p))).value
        assert shape.maximum_quantile(p, n).value == pytest.approx(drawn, rel=0.03)


@given(st.floats(0.01, 0.99), st.integers(1, 1000), st.integers(0, 1000))
def test_more_shards_are_never_faster(p, n, more) -> None:
    assert EXPONENTIAL.maximum_quantile(p, n + more).value >= EXPONENTIAL.maximum_quantile(p, n).value


def test_one_shard_is_the_distribution_itself() -> None:
    for p, ratio in EXPONENTIAL.quantiles:
        assert EXPONENTIAL.quantile(p).value == pytest.approx(ratio)


def test_a_quantile_with_few_latencies_above_it_is_extrapolated() -> None:
    shape = LatencyShape(1000, 1.0, EXPONENTIAL.quantiles)
    assert shape.quantile(0.98).basis is Basis.INTERPOLATED
    assert shape.quantile(0.995).basis is Basis.EXTRAPOLATED


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_the_largest_of_one_latency_is_that_latency(p) -> None:
    shape = LatencyShape(10_000_000, 2.0, EXPONENTIAL.quantiles, 0.7)
    assert shape.maximum_quantile(p, 1) == shape.quantile(p)


@pytest.mark.parametrize("correlation", [-0.1, 1.0, math.nan])
def test_a_correlation_outside_of_its_range_is_an_error(correlation) -> None:
    with pytest.raises(ValueError, match="correlation"):
        LatencyShape(10, 1.0, EXPONENTIAL.quantiles, correlation)


def test_a_probability_of_one_is_an_error() -> None:
    with pytest.raises(PlanError, match="probability"):
        EXPONENTIAL.quantile(1.0)
