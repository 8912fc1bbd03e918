"""Compute growth with the corpus, and targets, from the measurements of the scale benchmark."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.common.results import Result, measurement, target

GROWING = ("query p50", "build")
FASTER = {"times as fast as teacher's width, exact f32": 500, "times as fast as exact f32": 50}
RESIDENT_MB = {"sq8": 160, "pq": 60, "rabitq": 50}  # at a million vectors


Limit = tuple[str, str, dict[str, float]]  # system, "what" of the measurement, arguments of `target`


def measurement_at(system: str, n: int, what: str, unit: str, values: Iterable[float], **about: Any) -> Result:
    """Return a measurement of one system at one size, with the keys of `find_measurement`."""
    return measurement(f"{n:,}: {system}: {what}", unit, values) | {"system": system, "n": n, "what": what} | about


def find_measurement(made: Sequence[Result], system: str, n: int, what: str) -> Result | None:
    """Return the measurement with these keys, or None if there is none."""
    return next((one for one in made if (one.get("system"), one.get("n"), one.get("what")) == (system, n, what)), None)


def figures(made: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """Return the exponents of growth, and the targets of the measured sizes."""
    names = dict.fromkeys(one["system"] for one in made)
    growth = [fitted for name in names for what in GROWING if (fitted := fit_growth(made, name, what))]
    return growth, [*targets_at_a_million(made), *targets_at_ten_million(made)]


def fit_growth(made: Sequence[Result], system: str, what: str) -> Result | None:
    """Return the exponent b of time = a * n ** b, fitted by least squares on logarithms; None for a single size."""
    points = [(one["n"], one["median"]) for one in made if (one["system"], one["what"]) == (system, what)]
    if len(points) < 2:
        return None
    log_n, log_time = np.log(np.array(points, float)).T
    exponent, logarithm = np.polyfit(log_n, log_time, 1)
    about = {"system": system, "fit": what, "factor": float(np.exp(logarithm)), "sizes": [n for n, _ in points]}
    return measurement(f"growth of {system}: {what}, exponent", "", [exponent]) | about


def targets_at_a_million(made: Sequence[Result]) -> list[Result]:
    """Return the targets for a million vectors."""
    n = 1_000_000
    wanted: list[Limit] = []
    for system in ("ivf pq",):  # `auto` chooses the flat index as long as a scan takes less than 5 ms
        wanted += [(system, "query p50", {"at_most": 0.5}), (system, "query p99", {"at_most": 2})]
        wanted += [(system, "ann_recall@10, corpus", {"at_least": 0.95})]
        wanted += [(system, what, {"at_least": times}) for what, times in FASTER.items()]
        wanted += [(system, "batch, faiss alone / ours", {"at_most": 1.2})]
    wanted += [
        (f"{kind} {codec}", "resident memory", {"at_most": megabytes})
        for kind in ("flat", "ivf")
        for codec, megabytes in RESIDENT_MB.items()
    ]
    return _targets(made, n, wanted)


def targets_at_ten_million(made: Sequence[Result]) -> list[Result]:
    """Return the targets for ten million vectors."""
    wanted: list[Limit] = []
    for system in ("ivf pq", "ivf rabitq"):
        wanted += [(system, "build, peak memory", {"at_most": 3000}), (system, "resident memory", {"at_most": 600})]
        wanted += [(system, "query p50", {"at_most": 2}), (system, "ann_recall@10, corpus", {"at_least": 0.95})]
        wanted += [(system, "open", {"at_most": 1})]
    return _targets(made, 10_000_000, wanted)


def _targets(made: Sequence[Result], n: int, wanted: Sequence[Limit]) -> list[Result]:
    found = [(find_measurement(made, system, n, what), bound) for system, what, bound in wanted]
    return [target(one, **bound) for one, bound in found if one is not None]
