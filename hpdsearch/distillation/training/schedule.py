"""The schedule of a training, by steps or by time: the learning rate, the measurements, and the end."""

import time
from collections.abc import Callable

from hpdsearch.distillation.spec import TrainingSpec

N_MEASUREMENTS = (5, 20)  # of the held-out agreement during a training, least and most
MEASURED_SHARE = 0.05  # of the time, within these bounds
FORWARD_SHARE = 1 / 3  # of the time of a training step on a text is that of embedding it


class Schedule:
    """How far a training is, by steps or, if the spec says how many minutes it may take, by the time it has taken.

    Attributes:
        n_steps: number of steps; None for a training by time.
        n_done: steps done.
        measured_at: seconds at the end of the last measurement.
        measuring: seconds that the last measurement took.
    """

    def __init__(
        self, spec: TrainingSpec, *, n_texts: int, n_held_out: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin the schedule.

        Args:
            spec: its epochs, minutes, learning_rate, warmup and n_measurements are used.
            n_texts: training texts.
            n_held_out: held-out texts, which every measurement embeds.
            clock: returns seconds.
        """
        self.spec = spec
        self.n_held_out = n_held_out
        self.n_done = 0
        self.measured_at = 0.0
        self.measuring = 0.0
        self._clock = clock
        self._begin = clock()
        self.n_steps = None if spec.minutes else max(1, round(spec.epochs * (n_texts // spec.batch_size)))
        fewest, most = N_MEASUREMENTS
        self.n_measurements = spec.n_measurements or most
        if self.n_steps and not spec.n_measurements:
            affordable = MEASURED_SHARE / FORWARD_SHARE * self.n_steps * spec.batch_size / n_held_out
            self.n_measurements = min(most, max(fewest, int(affordable)))

    @property
    def seconds(self) -> float:
        """The time that the training has taken, that of interrupted runs until their last checkpoint included."""
        return self._clock() - self._begin

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._begin = self._clock() - value

    @property
    def share(self) -> float:
        """The share of the training that is done, 0..1."""
        return self.n_done / self.n_steps if self.n_steps else min(1.0, self.seconds / (60 * self.spec.minutes))

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        if self.n_steps:
            factor = learning_rate_factor(self.n_done, self.n_steps, warmup=self.spec.warmup)
        else:
            factor = learning_rate_factor(round(1000 * self.share), 1000, warmup=self.spec.warmup)
        return self.spec.learning_rate * factor

    def has_ended(self) -> bool:
        """Return whether no step is left, or no time for another one and the last measurement."""
        if self.n_steps:
            return self.n_done >= self.n_steps
        return self.seconds + self.measuring >= 60 * self.spec.minutes

    def is_measurement_due(self) -> bool:
        """Return whether to measure after the step that was just made; the end has a measurement in any case."""
        if self.n_steps:
            return self._count_measurements(self.n_done) > self._count_measurements(self.n_done - 1)
        pause = max(60 * self.spec.minutes / self.n_measurements, self.measuring / MEASURED_SHARE)
        return self.seconds - self.measured_at >= pause

    def done_texts(self) -> int:
        """Return the work that is done, in texts that are trained on.

        In a training by steps a held-out text of a measurement counts as FORWARD_SHARE of a text. In a training by time
        the measurements are in the time by which the work of the whole is estimated.
        """
        return self._count_texts(self.n_done)

    def all_texts(self) -> int:
        """Return the work of the whole training, as in `done_texts`; in a training by time an estimate."""
        return self._count_texts(self.n_steps) if self.n_steps else round(self.done_texts() / max(self.share, 1e-9))

    def _count_texts(self, n_steps: int) -> int:
        measured = self.n_held_out * self._count_measurements(n_steps)
        return n_steps * self.spec.batch_size + round(FORWARD_SHARE * measured)

    def _count_measurements(self, n_steps: int) -> int:
        """Return how many measurements a training by steps has made after n_steps; the last one is at its end."""
        return n_steps * min(self.n_measurements, self.n_steps) // self.n_steps if self.n_steps else 0


def learning_rate_factor(step: int, n_steps: int, *, warmup: float) -> float:
    """Return the factor of the peak learning rate: a linear rise during the warm-up, then a linear fall to 0.05."""
    rise = max(1, round(warmup * n_steps))
    return min(1.0, (step + 1) / rise) * (1 - 0.95 * step / n_steps)
