"""The latency of a query that waits for the slowest of n shards."""

from bisect import bisect_left
from dataclasses import dataclass
from math import log

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
    """

    n_samples: int
    mean: float
    quantiles: tuple[tuple[float, float], ...]

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
        """Return the quantile of the largest of n independent latencies, relative to the median of one.

        All n stay below x with probability F(x)^n, so the quantile is F^-1(probability^(1/n)).

        Args:
            probability: 0 < probability < 1, 0.99 for the p99.
            n_shards: latencies that are waited for, at least 1.
        """
        return self.quantile(probability ** (1 / n_shards))


def _line(points: Points, x: float) -> float:
    right = min(max(bisect_left(points, x, key=lambda point: point[0]), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return max(y0 + (y1 - y0) * (x - x0) / (x1 - x0), points[0][1])
