"""Progress bars for long phases: rate and time left, on stderr, one bar a phase."""

from typing import Protocol


class Bar(Protocol):
    """What a phase does with its bar; `total` may be corrected on the way."""

    total: float | None

    def update(self, n: float, /) -> object:
        """Count n more units as done."""

    def close(self) -> object:
        """End the phase."""


class Progress:
    """Makes one bar a phase; silent unless enabled."""

    def __init__(self, enabled: bool = False) -> None:
        self.enabled = enabled

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        """Begin a phase of `total` units (None: unknown), shown as `name`."""
        from tqdm import tqdm

        bar: Bar = tqdm(
            desc=name, total=total, unit=unit, unit_scale=True, disable=not self.enabled, dynamic_ncols=True
        )
        return bar


SILENT = Progress(enabled=False)
