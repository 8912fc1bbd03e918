import io
import time

import pytest
from tqdm import tqdm

from hpdsearch.common.progress import Progress, SilentBar, skip


def test_units_of_an_earlier_run_do_not_count_towards_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    shown = io.StringIO()
    bar = tqdm(total=10_000, file=shown, mininterval=0)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = now[0]
    now[0] += 0.01
    skip(bar, 9_000)
    for _ in range(4):
        now[0] += 2
        bar.update(20)
    assert bar.n == 9_080
    state = bar.format_dict
    assert state["rate"] == pytest.approx(10, rel=0.02)
    assert (state["n"] - state["initial"]) / 8.01 == pytest.approx(10, rel=0.02)
    bar.close()
    assert "9080/10000" in shown.getvalue()


def test_the_time_left_follows_from_the_whole_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("sys.stderr", io.StringIO())
    bar = Progress(enabled=True).phase("x", total=200, unit="text")
    assert isinstance(bar, tqdm)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = now[0]
    for seconds in [1.0] * 90 + [0.125] * 4 + [0.0] * 6:  # the last texts are short
        now[0] += seconds
        bar.update(1)
    assert "100/200 [01:30<01:30" in str(bar)
    bar.close()


def test_a_bar_without_a_rate_counts_them() -> None:
    class Counting(SilentBar):
        n = 0.0

        def update(self, n: float, /) -> None:
            self.n += n

    bar = Counting()
    skip(bar, 5)
    assert bar.n == 5
    skip(Progress().phase("x", total=1, unit="y"), 5)
