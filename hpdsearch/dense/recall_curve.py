"""The curve of an index: how much of exact search it finds, and how fast, at several nprobe and rescore."""

from dataclasses import asdict, dataclass
from typing import Any

HARDLY_SLOWER = 1.1  # timings differ by more from one measurement to the next: recall at this price is free


@dataclass(frozen=True)
class OperatingPoint:
    """One setting and what it reached.

    Attributes:
        nprobe: lists visited per query; 0: the index has none.
        rescore: candidates scored exactly for each of the first ten wanted hits.
        ann_recall: share of the exact top 10 that was found, mean over the queries.
        lowest: one-sided 95 % lower bound of ann_recall.
        milliseconds: of one query alone, median.
    """

    nprobe: int
    rescore: int
    ann_recall: float
    lowest: float
    milliseconds: float


@dataclass(frozen=True)
class OperatingPoints:
    """The Pareto front of recall and latency, ascending in both; at least one point.

    Attributes:
        promise: the recall that was asked for.
        kept: the chosen point keeps it, by its lower bound.
        n_queries: rows of the segment that were asked as queries, each left out of its own answer.
    """

    points: tuple[OperatingPoint, ...]
    promise: float
    kept: bool
    n_queries: int

    def point(self, recall: float) -> OperatingPoint:
        """Return the point to use for this recall: of those that keep it, the fastest or one that is hardly slower.

        If none keeps it, the one of the best recall.
        """
        kept = [point for point in self.points if point.lowest >= recall] or [self.points[-1]]
        return [point for point in kept if point.milliseconds <= HARDLY_SLOWER * kept[0].milliseconds][-1]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"points": [asdict(point) for point in self.points]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OperatingPoints":
        """Return the curve that `as_dict` described."""
        return cls(**{**values, "points": tuple(OperatingPoint(**point) for point in values["points"])})
