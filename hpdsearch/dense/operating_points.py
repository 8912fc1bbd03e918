"""The measured operating points of an index: ann_recall and latency by nprobe and rescore."""

from dataclasses import dataclass
from typing import Any

LATENCY_TOLERANCE = 1.1  # repeated measurements differ by more than this factor, so more recall at this price is free


@dataclass(frozen=True)
class OperatingPoint:
    """One pair of nprobe and rescore, and what was measured with it.

    Attributes:
        nprobe: inverted lists probed per query; 0 for a flat index.
        rescore: candidates scored exactly for each of the first ten wanted hits.
        ann_recall: share of the exact top 10 that was found, mean over the queries.
        ann_recall_lower: one-sided 95 % lower confidence bound of ann_recall.
        milliseconds: median latency of a single query.
    """

    nprobe: int
    rescore: int
    ann_recall: float
    ann_recall_lower: float
    milliseconds: float


@dataclass(frozen=True)
class OperatingPoints:
    """The Pareto front of ann_recall and latency; at least one point, ascending in both.

    Attributes:
        points: the front.
        recall_target: the ann_recall that the spec wanted.
        is_met: the chosen point's ann_recall_lower reaches recall_target.
        n_queries: rows of the segment that were searched as held-out queries.
    """

    points: tuple[OperatingPoint, ...]
    recall_target: float
    is_met: bool
    n_queries: int

    def choose(self, ann_recall: float) -> OperatingPoint:
        """Return the fastest point that reaches this ann_recall, or a better one within LATENCY_TOLERANCE of it.

        If no point reaches it, the point of the highest ann_recall is returned.
        """
        reaching = [point for point in self.points if point.ann_recall_lower >= ann_recall] or [self.points[-1]]
        return [point for point in reaching if point.milliseconds <= LATENCY_TOLERANCE * reaching[0].milliseconds][-1]

    def as_dict(self) -> dict[str, Any]:
        """Return the points as JSON values, under the keys of the index folder (docs/index-format.md)."""
        points = [
            {
                "nprobe": point.nprobe,
                "rescore": point.rescore,
                "ann_recall": point.ann_recall,
                "lowest": point.ann_recall_lower,
                "milliseconds": point.milliseconds,
            }
            for point in self.points
        ]
        return {"points": points, "promise": self.recall_target, "kept": self.is_met, "n_queries": self.n_queries}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OperatingPoints":
        """Return the operating points that `as_dict` wrote."""
        points = [
            OperatingPoint(
                nprobe=point["nprobe"],
                rescore=point["rescore"],
                ann_recall=point["ann_recall"],
                ann_recall_lower=point["lowest"],
                milliseconds=point["milliseconds"],
            )
            for point in values["points"]
        ]
        return cls(tuple(points), values["promise"], values["kept"], values["n_queries"])
