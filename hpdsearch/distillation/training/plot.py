"""The log of a training as a picture: its losses, and how many of the teacher's neighbours the student finds."""

import csv
from pathlib import Path
from typing import Any

from hpdsearch.common.plotting import BLACK, BLUE, ORANGE, PURPLE, SKY, VERMILION, save_figure
from hpdsearch.errors import DistillError, MissingExtraError

STEP, AGREEMENT, RATE, LOSS = "step", "agreement", "rate", "loss"  # columns; all others are terms of the loss
# The markers tell the terms apart in grey.
TERM_STYLES = ((ORANGE, "s"), (SKY, "^"), (PURPLE, "D"), (VERMILION, "v"))
LOSS_COLOUR, AGREEMENT_COLOUR = BLACK, BLUE


def plot_training(log_csv: Path, svg: Path) -> bool:
    """Draw the log of a training; equal logs give equal bytes with one version of matplotlib.

    Args:
        log_csv: columns step, agreement, rate, loss and the loss terms, a row a measurement; a cell may be empty.
        svg: written.

    Returns:
        False if matplotlib is not installed; then nothing is written, and `pip install "hpdsearch[plot]"` helps.

    Raises:
        DistillError: the file is no training log.
    """
    columns = _read(log_csv)
    try:
        with save_figure(svg) as figure:
            above, below = figure.subplots(2, sharex=True)
            _draw_losses(above, columns)
            _draw_agreement(below, columns[AGREEMENT])
    except MissingExtraError:
        return False
    return True


def _read(log_csv: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs of each column, without its empty cells."""
    try:
        with log_csv.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = rows[0] if rows else ()
        columns = {name: [(int(row[STEP]), float(row[name])) for row in rows if row[name]] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DistillError(f"{log_csv}: expected the log of a training, got {error!r}") from error
    if not columns.get(AGREEMENT):
        raise DistillError(f"{log_csv}: expected the columns {STEP} and {AGREEMENT} with numbers, got {list(columns)}")
    return columns


def _draw_losses(axes: Any, columns: dict[str, list[tuple[int, float]]]) -> None:
    terms = [name for name in columns if name not in (STEP, AGREEMENT, RATE, LOSS)]
    for name, (colour, marker) in zip(terms, TERM_STYLES, strict=False):
        axes.plot(*_xy(columns[name]), color=colour, marker=marker, linewidth=1, label=f"{name} (last batch, weighted)")
    if columns.get(LOSS):
        axes.plot(*_xy(columns[LOSS]), color=LOSS_COLOUR, marker="o", linewidth=2, label="loss (mean of recent steps)")
        axes.legend()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("training loss")


def _draw_agreement(axes: Any, measured: list[tuple[int, float]]) -> None:
    steps, shares = _xy(measured)
    per_cent = [100 * share for share in shares]
    best = per_cent.index(max(per_cent))  # the first of equals, as training keeps it
    axes.plot(steps, per_cent, color=AGREEMENT_COLOUR, marker="o", linewidth=2)
    label = f"best, kept: {per_cent[best]:.1f} % at step {steps[best]:,}"
    axes.plot(
        steps[best], per_cent[best], color=AGREEMENT_COLOUR, marker="*", markersize=16, linestyle="none", label=label
    )
    axes.legend(loc="best")
    axes.set_ylabel("teacher's 10 nearest\nfound, held-out texts [%]")
    axes.set_xlabel("training step")


def _xy(pairs: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in pairs], [value for _, value in pairs]
