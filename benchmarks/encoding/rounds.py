"""Run the rounds of the encoding benchmark, with interleaved models and matrix products, per number of cores."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from benchmarks.common.harness import Command, module_command, module_environment, run_interleaved
from benchmarks.common.results import Result, measurement
from benchmarks.encoding.models import (
    FAILURES,
    Model,
    Request,
    TimeEncoding,
    json_process,
    model_process,
    report_failure,
)

TEACHER = "teacher"
SHORT, PASSAGES, SINGLE = "short texts", "passages", "single text"
MATRICES, PEAK = "matrix product", "peak"
# Texts of the first pass: bfloat16 is ten times as slow on a processor without instructions for it.
N_PROBE = {SHORT: 4, PASSAGES: 1}
N_TEACHER_PROBE = 16  # short texts of the probe that chooses the teacher's configuration
WARM_UP = ["the first call", "is not", "counted"]

Run = Callable[[int], list[float]]  # number of the round, -1 for the warm-up -> seconds, or GFLOP/s


class Case(NamedTuple):
    """One measurement: the model, the texts and the number of cores."""

    system: str
    what: str
    threads: int

    @property
    def name(self) -> str:
        """The name in a result."""
        return f"{self.system}, {self.what}, {self.threads} core{'s' * (self.threads > 1)}"


@dataclass(frozen=True)
class Workload:
    """The texts to encode.

    Attributes:
        texts: SHORT or PASSAGES -> all available texts.
        queries: texts for SINGLE.
        pass_seconds: approximate time of a pass; it decides the number of texts.
        n_singles: maximum single texts per round; a round takes at most about 2 pass_seconds.
    """

    texts: Mapping[str, Sequence[str]]
    queries: Sequence[str]
    pass_seconds: float
    n_singles: int


@dataclass(frozen=True)
class RoundResults:
    """The results of the rounds.

    Attributes:
        seconds: case -> for each round a list of seconds per text: one mean, or for SINGLE one value per text.
        n_texts: case -> number of texts of a pass (SHORT, PASSAGES); a pass takes the first ones.
        gflops: case -> GFLOP/s of matrix products, one value per round.
        probes: measurements of the teacher's configurations.
        chosen: threads -> the fastest configuration.
        failed: name -> error of a baseline that failed; it has no seconds.
    """

    seconds: dict[Case, list[list[float]]] = field(default_factory=dict)
    n_texts: dict[Case, int] = field(default_factory=dict)
    gflops: dict[Case, list[float]] = field(default_factory=dict)
    probes: list[Result] = field(default_factory=list)
    chosen: dict[int, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure(
    models: Mapping[str, Model],
    teachers: Mapping[str, Model],
    libraries: Sequence[str],
    work: Workload,
    all_threads: Sequence[int],
    repeats: int,
) -> RoundResults:
    """Measure all models with each number of threads, interleaved.

    Args:
        models: models by name.
        teachers: configurations of the teacher by name; the fastest is measured. Empty without a teacher.
        libraries: libraries for matrix products, see matmul_peak.
        work: texts to encode.
        all_threads: numbers of cores.
        repeats: number of rounds.

    Raises:
        SystemExit: a model that is not a baseline failed.
    """
    made = RoundResults()
    cases: dict[Case, Run] = {}
    with ExitStack() as running:
        for threads in all_threads:
            for library in libraries:
                command = module_command("encoding.matmul_peak", library)
                peak = running.enter_context(json_process(command, threads, module_environment()))
                cases[Case(f"{MATRICES}, {library}", PEAK, threads)] = partial(gflops, peak)
            fastest = {TEACHER: choose_teacher(teachers, threads, work.texts[SHORT], made)} if teachers else {}
            for system, model in (fastest | dict(models)).items():
                try:
                    cases |= make_cases(
                        system, running.enter_context(model_process(model.command, threads)), work, threads
                    )
                except FAILURES as error:
                    _handle_failure(system, model, error, made.failed)
        tolerant = {case.name: _tolerate_failures(case, run, models, made.failed) for case, run in cases.items()}
        rounds = run_interleaved(tolerant, repeats)
    for case, run in cases.items():
        if case.what == PEAK:
            made.gflops[case] = [value for (value,) in rounds[case.name]]
        elif case.system not in made.failed:
            made.seconds[case] = rounds[case.name]
            if isinstance(run, Pass):
                made.n_texts[case] = run.n
    return made


def make_cases(system: str, time_encoding: TimeEncoding, work: Workload, threads: int) -> dict[Case, Run]:
    """Return the cases of a running model."""
    runs: dict[Case, Run] = {
        Case(system, what, threads): Pass(time_encoding, texts, N_PROBE[what], work.pass_seconds)
        for what, texts in work.texts.items()
    }
    return runs | {
        Case(system, SINGLE, threads): Singles(time_encoding, work.queries, work.n_singles, 2 * work.pass_seconds)
    }


def _tolerate_failures(case: Case, run: Run, models: Mapping[str, Model], failed: dict[str, str]) -> Run:
    """Wrap a case so that a baseline that fails is skipped from then on."""

    def call(number: int) -> list[float]:
        if case.system in failed:
            return []
        try:
            return run(number)
        except FAILURES as error:
            _handle_failure(case.system, models.get(case.system), error, failed)
            return []

    return call


def _handle_failure(system: str, model: Model | None, error: BaseException, failed: dict[str, str]) -> None:
    if model is None or not model.is_baseline:
        raise error
    report_failure(system, error, failed)


def choose_teacher(teachers: Mapping[str, Model], threads: int, texts: Sequence[str], made: RoundResults) -> Model:
    """Return the fastest configuration of the teacher; add the probes and the choice to `made`."""
    rates = {way: probe(model.command, threads, texts[:N_TEACHER_PROBE]) for way, model in teachers.items()}
    made.chosen[threads] = max(rates, key=lambda way: rates[way])
    for way, rate in rates.items():
        name = f"probe: {way}, {threads} core{'s' * (threads > 1)}"
        made.probes.append(measurement(name, "texts/s", [rate]) | {"probe": way, "threads": threads})
    return teachers[made.chosen[threads]]


def probe(command: Command, threads: int, texts: Sequence[str]) -> float:
    """Return the texts per second of a few texts, after one call as a warm-up."""
    with model_process(command, threads) as time_encoding:
        time_encoding(WARM_UP, False)
        return len(texts) / time_encoding(texts, False)[0]


def gflops(request: Request, number: int) -> list[float]:
    """Return the GFLOP/s of a matrix product."""
    return [request({})["gflops"]]


class Pass:
    """Encode as many texts as take about `pass_seconds`; the warm-up determines their number."""

    def __init__(self, time_encoding: TimeEncoding, texts: Sequence[str], n_probe: int, pass_seconds: float) -> None:
        self.time_encoding = time_encoding
        self.texts = texts
        self.n = min(n_probe, len(texts))
        self.pass_seconds = pass_seconds

    def __call__(self, number: int) -> list[float]:
        """Return the seconds per text of this round; in the warm-up, number -1, first determine the number of texts."""
        if number < 0:
            self._find_n()
        return [self._seconds() / self.n]

    def _find_n(self) -> None:
        while self._seconds() < self.pass_seconds:  # the first call with this number of texts is slower than the next
            wanted = min(len(self.texts), math.ceil(self.n * self.pass_seconds / self._seconds()))
            is_near = wanted < 4 * self.n  # a short extrapolation is reliable
            self.n = max(self.n, wanted)
            if is_near:
                break

    def _seconds(self) -> float:
        return self.time_encoding(self.texts[: self.n], False)[0]


class Singles:
    """Encode single texts, one call each, with different texts in each round."""

    def __init__(self, time_encoding: TimeEncoding, queries: Sequence[str], n: int, pass_seconds: float) -> None:
        """Use n texts per round, or as many as take about `pass_seconds`; the warm-up determines their number."""
        self.time_encoding = time_encoding
        self.queries = queries
        self.n = n
        self.pass_seconds = pass_seconds

    def __call__(self, number: int) -> list[float]:
        """Return the seconds of each text of this round; number -1 is the warm-up."""
        if number < 0:
            seconds = self.time_encoding(WARM_UP, True)
            self.n = max(1, min(self.n, int(self.pass_seconds / min(seconds))))
            return seconds
        return self.time_encoding(
            [self.queries[(number * self.n + i) % len(self.queries)] for i in range(self.n)], True
        )
