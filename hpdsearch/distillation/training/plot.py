"""The plot of a training log: the losses, and the agreement with the teacher's nearest neighbors."""

import csv
from pathlib import Path
from typing import Any

from hpdsearch.common.plotting import BLACK, BLUE, ORANGE, PURPLE, SKY, VERMILION, save_figure
from hpdsearch.errors import DistillError, MissingExtraError

STEP, AGREEMENT, RATE, LOSS = "step", "agreement", "rate", "loss"  # columns; all others are loss terms
# The markers distinguish the terms without color.
TERM_STYLES = ((ORANGE, "s"), (SKY, "^"), (PURPLE, "D"), (VERMILION, "v"))
LOSS_COLOR, AGREEMENT_COLOR = BLACK, BLUE


def plot_training(log_csv: Path, svg: Path) -> bool:
    """Draw a training log. With one version of matplotlib, equal logs give equal bytes.

    Args:
        log_csv: columns step, agreement, rate, loss and the loss terms; a row per measurement. A cell may be empty.
        svg: the file to write.

    Returns:
        Whether the plot was written. It needs matplotlib: `pip install "hpdsearch[plot]"`.

    Raises:
        DistillError: the file is not a training log.
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
    """Read the (step, value) pairs of each column. Empty cells are skipped."""
    try:
        with log_csv.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = rows[0] if rows else ()
        columns = {name: [(int(row[STEP]), float(row[name])) for row in rows if row[name]] for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DistillError(f"{log_csv}: expected a training log, got {error!r}") from error
    if not columns.get(AGREEMENT):
        raise DistillError(f"{log_csv}: expected the columns {STEP} and {AGREEMENT} with numbers, got {list(columns)}")
    return columns


def _draw_losses(axes: Any, columns: dict[str, list[tuple[int, float]]]) -> None:
    terms = [name for name in columns if name not in (STEP, AGREEMENT, RATE, LOSS)]
    for name, (color, marker) in zip(terms, TERM_STYLES, strict=False):
        axes.plot(
            *_unzip(columns[name]), color=color, marker=marker, linewidth=1, label=f"{name} (last batch, weighted)"
        )
    if columns.get(LOSS):
        axes.plot(
            *_unzip(columns[LOSS]), color=LOSS_COLOR, marker="o", linewidth=2, label="loss (mean of recent steps)"
        )
        axes.legend()
    axes.set_ylim(bottom=0)
    axes.set_ylabel("training loss")


def _draw_agreement(axes: Any, measured: list[tuple[int, float]]) -> None:
    steps, shares = _unzip(measured)
    percent = [100 * share for share in shares]
    best = percent.index(max(percent))  # the first of equals, as in training
    axes.plot(steps, percent, color=AGREEMENT_COLOR, marker="o", linewidth=2)
    label = f"best checkpoint: {percent[best]:.1f} % at step {steps[best]:,}"
    axes.plot(
        steps[best], percent[best], color=AGREEMENT_COLOR, marker="*", markersize=16, linestyle="none", label=label
    )
    axes.legend(loc="best")
    axes.set_ylabel("agreement with the teacher's\n10 nearest, held-out texts [%]")
    axes.set_xlabel("training step")


def _unzip(pairs: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in pairs], [value for _, value in pairs]
