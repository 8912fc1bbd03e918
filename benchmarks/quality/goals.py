"""Compute the quality targets from the rows of the systems: percent of the teacher, and margins over baselines."""

from collections.abc import Iterator, Sequence

from benchmarks.common.ir_metrics import NDCG
from benchmarks.common.quality_names import STS
from benchmarks.common.results import Result, measurement, target
from benchmarks.quality.judge import RowKind

# Targets, in percent of the teacher.
GOALS: dict[tuple[str, int], dict[str, float]] = {
    ("base", 256): {STS: 99.5, NDCG: 98},
    ("base", 128): {STS: 99, NDCG: 94},
    ("small", 256): {STS: 98.5, NDCG: 92},
    ("static", 256): {STS: 92, NDCG: 82},
}
ASYMMETRIC_GOAL = 96  # nDCG@10 of base's queries over the teacher's documents at 256 dimensions
Figure = tuple[Result, float]  # a measurement and its lower limit


def measure_goals(rows: Sequence[Result], student: str) -> tuple[list[Result], list[Result]]:
    """Return the measurements and targets of all measured systems.

    Args:
        rows: from `judge.system_row`.
        student: name of the model from which the students start.
    """
    by_name = {(row["system"], row["dim"]): row for row in rows}
    found = [*_teacher_goals(by_name), *_baseline_goals(by_name, student)]
    return [made for made, _ in found], [target(made, at_least=limit) for made, limit in found]


def _teacher_goals(by_name: dict[tuple[str, int], Result]) -> Iterator[Figure]:
    """Yield the percentages of the teacher's scores."""
    asymmetric = {
        (name, dim): {NDCG: ASYMMETRIC_GOAL}
        for (name, dim), row in by_name.items()
        if row.get("what") == RowKind.ASYMMETRIC.value and name.startswith("base ") and dim == 256
    }
    for (name, dim), limits in (GOALS | asymmetric).items():
        kept = by_name.get((name, dim), {}).get("of_teacher", {})
        for metric, limit in limits.items():
            if metric in kept:
                label = "base's queries, teacher's documents" if (name, dim) in asymmetric else name
                made = measurement(f"{label}, {dim}: {metric}", "% of the teacher", [kept[metric]])
                yield made | {"what": f"{metric} of teacher", "system": name, "dim": dim}, limit


def _baseline_goals(by_name: dict[tuple[str, int], Result], student: str) -> Iterator[Figure]:
    pairs = [
        (("base", 256), (student, 384)),
        (("base", 256), (f"{student} projected", 256)),
        (("base", 128), (f"{student} projected", 128)),
        (("static", 256), ("model2vec", 256)),
    ]
    for ours, theirs in pairs:
        if ours in by_name and theirs in by_name:
            yield from _compare(by_name[ours], by_name[theirs])


def _compare(ours: Result, theirs: Result) -> Iterator[Figure]:
    """Yield the margins of a system over a baseline: on both means, and on the number of collections."""
    above = f"above {theirs['system']}, {theirs['dim']}"
    pairs = zip(ours["retrieval"]["collections"].values(), theirs["retrieval"]["collections"].values(), strict=True)
    wins = [one[NDCG] > other[NDCG] for one, other in pairs]
    found = {
        STS: ("points", ours["sts"]["average"] - theirs["sts"]["average"], 0),
        NDCG: ("points", ours["retrieval"]["means"][NDCG] - theirs["retrieval"]["means"][NDCG], 0),
        "collections": (f"of {len(wins)}", sum(wins), len(wins) // 2 + 1),
    }
    for metric, (unit, value, limit) in found.items():
        made = measurement(f"{ours['system']}, {ours['dim']}, {above}: {metric}", unit, [value])
        yield made | {"what": f"{metric} {above}", "system": ours["system"], "dim": ours["dim"]}, limit
