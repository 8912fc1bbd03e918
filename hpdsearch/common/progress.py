"""Progress bars on stderr with rate and remaining time, one bar for each phase."""

from typing import Protocol


class Bar(Protocol):
    """The progress bar of a phase; `total` may change while it runs."""

    total: float | None

    def update(self, n: float, /) -> object:
        """Add n finished units."""

    def close(self) -> object:
        """End the phase."""


class SilentBar:
    """Shows nothing. tqdm takes locks even when it is disabled, and a fork might copy them in a locked state."""

    total: float | None = None

    def update(self, n: float, /) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Progress:
    """Creates a progress bar for each phase; shows nothing unless enabled."""

    def __init__(self, enabled: bool = False) -> None:
        self.enabled = enabled

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Begin a phase.

        Args:
            name: shown before the bar.
            total: number of units; None: unknown.
            unit: name of a unit.
        """
        if not self.enabled:
            return SilentBar()
        from tqdm import tqdm

        # smoothing=0: the time left follows from the whole phase. The last seconds may have had long texts only.
        bar: Bar = tqdm(desc=name, total=total, unit=unit, unit_scale=True, dynamic_ncols=True, smoothing=0)
        return bar


def skip(bar: Bar, n: float) -> None:
    """Add n units that an earlier run has finished. They do not count towards the rate and the remaining time."""
    if not hasattr(bar, "initial"):  # it has no rate
        bar.update(n)
        return
    for name in ("initial", "n", "last_print_n"):  # of tqdm
        setattr(bar, name, getattr(bar, name) + n)
    bar.update(0)


SILENT = Progress(enabled=False)
