"""Compute measurements and targets of the encoding benchmark from the seconds of its rounds."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.common.results import Result, measurement, ratios, target
from benchmarks.encoding.models import MODEL2VEC
from benchmarks.encoding.rounds import MATRICES, PASSAGES, PEAK, SHORT, SINGLE, TEACHER, Case, RoundResults

Counts = Mapping[str, Sequence[int]]  # SHORT or PASSAGES -> a count for each text
Figures = tuple[list[Result], list[Result]]
# Targets: rate relative to the teacher on short texts; milliseconds of a single text.
MIN_RATIOS = {"base": 5, "small": 9, "static": 100}
MAX_SINGLE_MS = {"base": 2}
MIN_RIVAL_RATIO = 2.5  # rate of base relative to the fastest other way to run a model of its size


def figures(
    made: RoundResults, tokens: Counts, operations: Mapping[str, Counts], all_threads: Sequence[int], *, same_size: str
) -> Figures:
    """Return measurements and targets; rates are targets with the most threads, single texts with the fewest.

    Args:
        made: results of the rounds.
        tokens: tokens of each text without special tokens, the same for all systems.
        operations: system -> operations of each text; other systems have no share of the peak.
        all_threads: numbers of cores.
        same_size: name of the model as large as base; the names of its configurations begin with it.
    """
    measurements, targets = [], []
    for threads in all_threads:
        peak = peaks(made, threads)
        measurements += peak
        for what in (SHORT, PASSAGES):
            rates = text_rates(made, what, threads)
            measurements += [
                case_measurement(case, "texts/s", rates[case], texts_a_pass=made.n_texts[case]) for case in rates
            ]
            measurements += tokens_a_second(made, rates, tokens[what])
            if peak:
                measurements += shares(made, rates, operations, peak[-1]["values"])
            compared = compare(rates, what, threads)
            rivals = compare_with_rivals(rates, what, threads, same_size)
            measurements += compared + rivals
            if threads == max(all_threads):
                targets += ratio_targets(compared) if what == SHORT else []
                targets += [target(one, at_least=MIN_RIVAL_RATIO) for one in rivals]
        measurements += singles(made, threads)
    fastest = [one for one in measurements if one.get("what") == SINGLE and one["threads"] == min(all_threads)]
    limits = [(one, MAX_SINGLE_MS[one["system"]]) for one in fastest if one["system"] in MAX_SINGLE_MS]
    return measurements, targets + [target(one, at_most=limit) for one, limit in limits]


def case_measurement(
    case: Case, unit: str, values: Sequence[float], *, percentiles: bool = False, **about: object
) -> Result:
    """Return a measurement with the keys of its case."""
    return measurement(case.name, unit, values, percentiles=percentiles) | case._asdict() | about


def text_rates(made: RoundResults, what: str, threads: int) -> dict[Case, list[float]]:
    """Return the texts per second of every system, one value per round."""
    return {
        case: [1 / seconds for (seconds,) in rounds]
        for case, rounds in made.seconds.items()
        if (case.what, case.threads) == (what, threads)
    }


def tokens_a_second(made: RoundResults, rates: Mapping[Case, Sequence[float]], tokens: Sequence[int]) -> list[Result]:
    """Return the tokens per second of every system, from the texts of its passes."""
    found = []
    for case, values in rates.items():
        mean = float(np.mean(tokens[: made.n_texts[case]]))
        found.append(
            case_measurement(case._replace(what=f"{case.what}, tokens"), "tokens/s", [mean * rate for rate in values])
        )
    return found


def peaks(made: RoundResults, threads: int) -> list[Result]:
    """Return the matrix products of each library, and last the best of each round; empty if none was measured."""
    found = {case: values for case, values in made.gflops.items() if case.threads == threads}
    best = [max(values) for values in zip(*found.values(), strict=True)]
    rows = [case_measurement(case, "GFLOP/s", values) for case, values in found.items()]
    return [*rows, case_measurement(Case(MATRICES, PEAK, threads), "GFLOP/s", best)] if rows else []


def shares(
    made: RoundResults,
    rates: Mapping[Case, Sequence[float]],
    operations: Mapping[str, Counts],
    peak: Sequence[float],
) -> list[Result]:
    """Return the percentage of the peak (GFLOP/s, one value per round) that each Transformer reaches."""
    found = []
    for case, values in rates.items():
        if case.system in operations:
            text_operations = float(np.mean(operations[case.system][case.what][: made.n_texts[case]]))
            reached = [100 * rate * text_operations / (1e9 * best) for rate, best in zip(values, peak, strict=True)]
            share = case._replace(what=f"share of peak, {case.what}")
            found.append(case_measurement(share, "%", reached, gflop_a_text=text_operations / 1e9))
    return found


def compare(rates: Mapping[Case, Sequence[float]], what: str, threads: int) -> list[Result]:
    """Return each system's rate relative to the teacher's, and static's relative to model2vec's, round by round."""
    by_name = {case.system: values for case, values in rates.items()}
    pairs = [(name, TEACHER) for name in by_name if name != TEACHER and TEACHER in by_name]
    if {"static", MODEL2VEC} <= by_name.keys():
        pairs.append(("static", MODEL2VEC))
    return [compare_pair(by_name, above, below, what, threads) for above, below in pairs]


def compare_with_rivals(rates: Mapping[Case, Sequence[float]], what: str, threads: int, same_size: str) -> list[Result]:
    """Return the rate of base relative to the fastest configuration of another model of its size, if both are there."""
    by_name = {case.system: values for case, values in rates.items()}
    rivals = {name: np.median(values) for name, values in by_name.items() if name.startswith(f"{same_size}, ")}
    if "base" not in by_name or not rivals:
        return []
    return [compare_pair(by_name, "base", max(rivals, key=rivals.__getitem__), what, threads)]


def compare_pair(by_name: Mapping[str, Sequence[float]], above: str, below: str, what: str, threads: int) -> Result:
    """Return the ratio of two systems' rates, round by round."""
    found = ratios(Case(f"{above} / {below}", what, threads).name, by_name[above], by_name[below])
    return found | {"ratio": [above, below], "of": what, "threads": threads}


def ratio_targets(compared: Sequence[Result]) -> list[Result]:
    """Return the ratios that have a target."""
    found = []
    for one in compared:
        above, below = one["ratio"]
        limit = MIN_RATIOS.get(above) if below == TEACHER else 1
        if limit:
            found.append(target(one, at_least=limit))
    return found


def singles(made: RoundResults, threads: int) -> list[Result]:
    """Return the milliseconds of all single texts of all rounds, with percentiles from 100 texts on."""
    found = []
    for case, rounds in made.seconds.items():
        if (case.what, case.threads) == (SINGLE, threads):
            spent = [1000 * seconds for of_round in rounds for seconds in of_round]
            found.append(case_measurement(case, "ms", spent, percentiles=len(spent) >= 100))
    return found
