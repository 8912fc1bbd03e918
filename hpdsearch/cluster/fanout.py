"""The latency of a query that waits for the slowest of n shards."""

from bisect import bisect_left
from dataclasses import dataclass
from math import exp, log

from hpdsearch.cluster.estimates import Basis, Estimate, Points
from hpdsearch.errors import PlanError

SAMPLES_BEYOND = 10  # a quantile with fewer measured latencies above it is called extrapolated


@dataclass(frozen=True)
class LatencyShape:
    """The distribution of a shard's latencies, relative to their median.

    Attributes:
        n_samples: measured latencies.
        mean: their mean, divided by the median.
        quantiles: (probability in 0..1, latency / median), ascending in both; at least two.
        queries: medians of equally frequent kinds of queries, relative to the median of all: the part of a latency
            that is the same in all shards.
        residuals: as `quantiles`, of the latencies relative to the median of their query; none: `quantiles`.
    """

    n_samples: int
    mean: float
    quantiles: tuple[tuple[float, float], ...]
    queries: tuple[float, ...] = (1.0,)
    residuals: tuple[tuple[float, float], ...] = ()

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

        For a query with the median q, all n stay below x with probability R(x / q)^n, where R is the distribution of
        the residuals, which are independent. The quantile is the x at which the mean over the queries is `probability`.

        Args:
            probability: 0 < probability < 1, 0.99 for the p99.
            n_shards: latencies that are waited for, at least 1.
        """
        basis = self.quantile(probability ** (1 / n_shards)).basis
        low, high = 0.0, 1.0
        while self._share_below(high, n_shards) < probability:
            high *= 2
        while low < (middle := (low + high) / 2) < high:  # until both are neighbors among the floats
            if self._share_below(middle, n_shards) < probability:
                low = middle
            else:
                high = middle
        return Estimate(high, basis)

    def _share_below(self, ratio: float, n_shards: int) -> float:
        """Return the share of the queries all of whose latencies are at most this multiple of the median."""
        depths = [(-log(1 - p), residual) for p, residual in self.residuals or self.quantiles]
        shares = [(1 - exp(-_depth(depths, ratio / query))) ** n_shards for query in self.queries]
        return sum(shares) / len(shares)


def _line(points: Points, x: float) -> float:
    right = min(max(bisect_left(points, x, key=lambda point: point[0]), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return max(y0 + (y1 - y0) * (x - x0) / (x1 - x0), points[0][1])


def _depth(points: Points, ratio: float) -> float:
    """Return the x at which `_line` has the value `ratio`; 0 below the first point."""
    if ratio <= points[0][1]:
        return 0.0
    right = min(max(bisect_left(points, ratio, key=lambda point: point[1]), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return x1 if y0 == y1 else x0 + (x1 - x0) * (ratio - y0) / (y1 - y0)
