"""The rounds of the encoding benchmark: all models and the matrix product are interleaved, per number of cores."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from benchmarks.common.harness import Command, module_command, module_environment, run_interleaved
from benchmarks.common.results import Result, measurement
from benchmarks.encoding.models import FAILURES, Answer, Ask, Model, fail, json_process, model_process

TEACHER = "teacher"
SHORT, PASSAGES, SINGLE = "short texts", "passages", "single text"
MATRICES, PEAK = "matrix product", "peak"
# A processor without instructions for bfloat16 takes ten times as long with it: a pass begins with these few.
N_PROBE = {SHORT: 4, PASSAGES: 1}
N_TEACHER_PROBE = 16  # short texts that decide which way the teacher runs
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
        texts: SHORT and PASSAGES, all that a pass may take.
        queries: for SINGLE.
        pass_seconds: about what a pass takes; decides how many texts.
        n_singles: single texts a round at most; slow models get as many as take twice pass_seconds.
    """

    texts: Mapping[str, Sequence[str]]
    queries: Sequence[str]
    pass_seconds: float
    n_singles: int


@dataclass(frozen=True)
class RoundResults:
    """The results of the rounds.

    Attributes:
        seconds: a text, by case, one list a round: of SINGLE each text's, else one number.
        n_texts: texts of a pass (SHORT, PASSAGES): the first ones.
        gflops: of matrix products, by case (system: MATRICES and the library), one a round.
        probes: of the ways to run the teacher.
        chosen: the fastest of them, by threads.
        failed: how a peer failed, by its name; it has no seconds.
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
    """Measure all models with each number of threads, in turns.

    Args:
        models: by name.
        teachers: the ways to run the teacher, by name; the fastest takes part. Empty for no teacher.
        libraries: that multiply matrices, see matmul_peak.
        work: what is encoded.
        all_threads: numbers of cores.
        repeats: rounds.

    Raises:
        SystemExit: a model that is no peer cannot be opened or asked.
    """
    made = RoundResults()
    cases: dict[Case, Run] = {}
    with ExitStack() as running:
        for threads in all_threads:
            for library in libraries:
                command = module_command("encoding.matmul_peak", library)
                peak = running.enter_context(json_process(command, threads, module_environment()))
                cases[Case(f"{MATRICES}, {library}", PEAK, threads)] = partial(gflops, peak)
            fastest = {TEACHER: choose(teachers, threads, work.texts[SHORT], made)} if teachers else {}
            for system, model in (fastest | dict(models)).items():
                try:
                    cases |= make_cases(
                        system, running.enter_context(model_process(model.command, threads)), work, threads
                    )
                except FAILURES as error:
                    _leave_out(system, model, error, made.failed)
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


def make_cases(system: str, ask: Ask, work: Workload, threads: int) -> dict[Case, Run]:
    """Return the cases of a model that is running."""
    runs: dict[Case, Run] = {
        Case(system, what, threads): Pass(ask, texts, N_PROBE[what], work.pass_seconds)
        for what, texts in work.texts.items()
    }
    return runs | {Case(system, SINGLE, threads): Singles(ask, work.queries, work.n_singles, 2 * work.pass_seconds)}


def _tolerate_failures(case: Case, run: Run, models: Mapping[str, Model], failed: dict[str, str]) -> Run:
    """Return the case as it is run: a peer that fails is left out from then on."""

    def call(number: int) -> list[float]:
        if case.system in failed:
            return []
        try:
            return run(number)
        except FAILURES as error:
            _leave_out(case.system, models.get(case.system), error, failed)
            return []

    return call


def _leave_out(system: str, model: Model | None, error: BaseException, failed: dict[str, str]) -> None:
    if model is None or not model.is_baseline:
        raise error
    fail(system, error, failed)


def choose(teachers: Mapping[str, Model], threads: int, texts: Sequence[str], made: RoundResults) -> Model:
    """Return the fastest way to run the teacher; the probes and the choice go into `made`."""
    rates = {way: probe(model.command, threads, texts[:N_TEACHER_PROBE]) for way, model in teachers.items()}
    made.chosen[threads] = max(rates, key=lambda way: rates[way])
    for way, rate in rates.items():
        name = f"probe: {way}, {threads} core{'s' * (threads > 1)}"
        made.probes.append(measurement(name, "texts/s", [rate]) | {"probe": way, "threads": threads})
    return teachers[made.chosen[threads]]


def probe(command: Command, threads: int, texts: Sequence[str]) -> float:
    """Return the texts a second of a few texts; a first call is not counted."""
    with model_process(command, threads) as ask:
        ask(WARM_UP, False)
        return len(texts) / ask(texts, False)[0]


def gflops(answer: Answer, number: int) -> list[float]:
    """Return 10^9 operations a second of a matrix product."""
    return [answer({})["gflops"]]


class Pass:
    """Encodes as many of the texts as take about `pass_seconds`, found out in the warm-up; returns seconds a text."""

    def __init__(self, ask: Ask, texts: Sequence[str], n_probe: int, pass_seconds: float) -> None:
        self.ask, self.texts, self.n, self.pass_seconds = ask, texts, min(n_probe, len(texts)), pass_seconds

    def __call__(self, number: int) -> list[float]:
        """Return the seconds a text of this round; in the warm-up, number -1, find how many texts to take."""
        if number < 0:
            self._find_n()
        return [self._seconds() / self.n]

    def _find_n(self) -> None:
        while self._seconds() < self.pass_seconds:  # the first call with so many texts is slower than the next
            wanted = min(len(self.texts), math.ceil(self.n * self.pass_seconds / self._seconds()))
            is_near = wanted < 4 * self.n  # near enough to be trusted
            self.n = max(self.n, wanted)
            if is_near:
                break

    def _seconds(self) -> float:
        return self.ask(self.texts[: self.n], False)[0]


class Singles:
    """Encodes single texts, one call each, others in every round as long as there are others."""

    def __init__(self, ask: Ask, queries: Sequence[str], n: int, pass_seconds: float) -> None:
        """Take n texts a round, or as many as take about `pass_seconds`, found out in the warm-up."""
        self.ask, self.queries, self.n, self.pass_seconds = ask, queries, n, pass_seconds

    def __call__(self, number: int) -> list[float]:
        """Return the seconds of each text of this round; -1 is the warm-up."""
        if number < 0:
            seconds = self.ask(WARM_UP, True)
            self.n = max(1, min(self.n, int(self.pass_seconds / min(seconds))))
            return seconds
        return self.ask([self.queries[(number * self.n + i) % len(self.queries)] for i in range(self.n)], True)
