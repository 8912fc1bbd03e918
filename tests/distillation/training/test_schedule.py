import numpy as np
import pytest

from hpdsearch.distillation.spec import TrainingSpec
from hpdsearch.distillation.training.schedule import Schedule, learning_rate_factor


class Clock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def count_measurements(schedule: Schedule) -> int:
    """Run all steps of a schedule and return the number of measurements."""
    n = 0
    while not schedule.has_ended():
        schedule.n_done += 1
        n += schedule.has_ended() or schedule.is_measurement_due()
    return n


@pytest.mark.parametrize(
    ("n_texts", "n_held_out", "expected"),
    [
        (18_000, 2_000, 5),  # 36,000 texts trained on; at 20 measurements 40,000 would be embedded beside them
        (580_000, 20_000, 8),  # 0.05 * 3 * 1,160,000 / 20,000 = 8.7
        (2_000_000, 20_000, 20),
    ],
)
def test_measurements_take_a_twentieth_of_the_time_and_are_5_to_20(n_texts, n_held_out, expected):
    n = count_measurements(Schedule(TrainingSpec(), n_texts=n_texts, n_held_out=n_held_out))
    assert n == expected


def test_the_spec_may_name_the_number_of_measurements():
    spec = TrainingSpec(epochs=10, batch_size=10, n_measurements=7)
    assert count_measurements(Schedule(spec, n_texts=70, n_held_out=1000)) == 7


@pytest.mark.parametrize("n_texts", [17, 640, 18_020])
def test_measurements_are_evenly_spaced_and_the_last_is_at_the_end(n_texts):
    schedule = Schedule(TrainingSpec(batch_size=16), n_texts=n_texts, n_held_out=2_000)
    measured = []
    for step in range(1, schedule.n_steps + 1):
        schedule.n_done = step
        if schedule.is_measurement_due():
            measured.append(step)
    assert measured[-1] == schedule.n_steps
    assert len(measured) == min(5, schedule.n_steps)
    gaps = np.diff([0, *measured])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("share", [0.25, 0.33, 0.42])  # of a training step's time per text; 0.42 was measured
def test_the_time_left_is_right_within_a_fifth(share):
    clock = Clock()
    schedule = Schedule(TrainingSpec(epochs=1), n_texts=18_020, n_held_out=2_000, clock=clock)
    done_at = {}  # seconds by the work that was done then
    while not schedule.has_ended():
        clock.now += 0.7
        schedule.n_done += 1
        if schedule.is_measurement_due():
            clock.now += 2_000 * share * 0.7 / 64
        done_at[schedule.done_texts()] = schedule.seconds
    left = [(work, (schedule.all_texts() - work) * seconds / work) for work, seconds in done_at.items()]
    for work, seconds in left:
        if 0.1 < work / schedule.all_texts() < 0.9:
            assert seconds == pytest.approx(schedule.seconds - done_at[work], rel=0.2)


def test_a_training_by_time_ends_in_time_with_a_low_rate_and_few_measurements():
    clock = Clock()
    schedule = Schedule(TrainingSpec(minutes=10, batch_size=64), n_texts=640, n_held_out=600, clock=clock)
    rates, measured, totals, step_seconds = [], [], {}, 0.5
    while True:
        rates.append(schedule.rate())
        clock.now += step_seconds
        schedule.n_done += 1
        totals[schedule.n_done] = schedule.all_texts()
        ended = schedule.has_ended()
        if ended or schedule.is_measurement_due():
            clock.now += 4.0
            schedule.measured_at, schedule.measuring = schedule.seconds, 4.0
            measured.append(schedule.seconds)
        if ended:
            break
    assert 590 < schedule.seconds <= 600 + step_seconds
    assert len(measured) <= 9  # 4 of 84 seconds
    peak = TrainingSpec().learning_rate
    assert max(rates) == pytest.approx(peak, rel=0.06)
    assert int(np.argmax(rates)) / len(rates) == pytest.approx(0.05, abs=0.01)
    assert rates[-1] == pytest.approx(0.05 * peak, rel=0.3)
    final = schedule.n_done * 64
    assert all(abs(total / final - 1) < 0.1 for number, total in totals.items() if number > 0.1 * schedule.n_done)


def test_the_time_of_earlier_runs_counts():
    clock = Clock()
    schedule = Schedule(TrainingSpec(minutes=1), n_texts=640, n_held_out=600, clock=clock)
    schedule.seconds = 45.0
    assert schedule.share == 0.75
    assert schedule.rate() == TrainingSpec().learning_rate * learning_rate_factor(750, 1000, warmup=0.05)
    clock.now += 15
    assert schedule.has_ended()
