"""The latency of a query that waits for the slowest of n shards."""

from bisect import bisect_left
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

from hpdsearch.cluster.estimates import Basis, Estimate, Points
from hpdsearch.errors import PlanError

SAMPLES_BEYOND = 10  # a quantile with fewer measured latencies above it is called extrapolated
NORMAL = NormalDist()
COMMON_PARTS = tuple(NORMAL.inv_cdf((number + 0.5) / 500) for number in range(500))  # equally probable
SCORE_LIMIT = 8.0  # standard deviations, where the probability is 1 - 6e-16


@dataclass(frozen=True)
class LatencyShape:
    """The distribution of a shard's latencies, relative to their median.

    Attributes:
        n_samples: measured latencies.
        mean: their mean, divided by the median.
        quantiles: (probability in 0..1, latency / median), ascending in both; at least two.
        correlation: of the latencies of a query in two shards, as normal scores; 0 if they are independent, below 1.

    Raises:
        ValueError: the correlation is outside of 0..1, or 1.
    """

    n_samples: int
    mean: float
    quantiles: tuple[tuple[float, float], ...]
    correlation: float = 0.0

    def __post_init__(self) -> None:
        """Check the correlation."""
        if not 0 <= self.correlation < 1:
            raise ValueError(f"correlation {self.correlation}; expected 0..1, less than 1")

    def quantile(self, probability: float) -> Estimate:
        """Return the latency / median that this share of the latencies does not exceed, 0 <= probability < 1.

        It is interpolated along -log(1 - probability), in which an exponential tail is straight. Beyond the largest
        measured probability the last line is followed.
        """
        if not 0 <= probability < 1:
            raise PlanError(f"probability: expected 0..1, less than 1, got {probability}")
        depths = [(-log(1 - p), ratio) for p, ratio in self.quantiles]
        value = _line(depths, -log(1 - probability))
        certain = (1 - probability) * self.n_samples >= SAMPLES_BEYOND
        return Estimate(value, Basis.INTERPOLATED if certain else Basis.EXTRAPOLATED)

    def maximum_quantile(self, probability: float, n_shards: int) -> Estimate:
        """Return the quantile of the largest of n latencies of one query, relative to the median of one.

        The latencies of a query have the distribution of all latencies, and the dependence of normal variables that
        have a common part z (a one-factor Gaussian copula): given z, the n of them are independent. The quantile is the
        one at which the mean over z of the probability that all n stay below it is `probability`.

        Args:
            probability: 0 < probability < 1, 0.99 for the p99.
            n_shards: latencies that are waited for, at least 1.
        """
        if n_shards == 1:
            return self.quantile(probability)  # exactly: COMMON_PARTS are a sample of z
        low, high = -SCORE_LIMIT, SCORE_LIMIT
        while low < (middle := (low + high) / 2) < high:  # until both are neighbors among the floats
            if self._share_below(middle, n_shards) < probability:
                low = middle
            else:
                high = middle
        return self.quantile(NORMAL.cdf(high))

    def _share_below(self, score: float, n_shards: int) -> float:
        """Return the share of the queries all of whose latencies have at most this normal score."""
        own, common = sqrt(1 - self.correlation), sqrt(self.correlation)
        shares = [NORMAL.cdf((score - common * z) / own) ** n_shards for z in COMMON_PARTS]
        return sum(shares) / len(shares)


def _line(points: Points, x: float) -> float:
    right = min(max(bisect_left(points, x, key=lambda point: point[0]), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return max(y0 + (y1 - y0) * (x - x0) / (x1 - x0), points[0][1])
