"""Draw the quality of `base` among many texts against the hours of its training, from the result of quality.among.

    python -m benchmarks.quality.curve base-first=0.7 base-second=1.6 base=2.1

Each NAME=HOURS is an encoder of that result, and the hours of training behind it, those of the encoders that it starts
from included. The result file is training.json, the picture that of docs/encoders.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.ir_metrics import NDCG
from benchmarks.common.results import RESULTS, Result, measurement, result, write_result
from benchmarks.common.style import color
from benchmarks.quality.among import most_documents, student_name
from benchmarks.quality.judge import RowKind
from hpdsearch.common.plotting import save_figure

PICTURE = RESULTS.parents[1] / "docs" / "images" / "training.svg"
DIMS = (256, 128)
DASHES = {256: "-", 128: "--"}


def main() -> None:
    """Read the options and the result, write the curve and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", metavar="NAME=HOURS", type=parse_stage, help="encoders and their hours")
    parser.add_argument("--among", type=Path, default=RESULTS / "among.json", help="result of quality.among")
    parser.add_argument("--output", "-o", type=Path, default=RESULTS / "training.json", help="result file")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="picture to write")
    options = parser.parse_args()
    among = json.loads(options.among.read_bytes())
    points = measure_points(among, options.stages)
    levels = measure_levels(among)
    settings = {"among": {key: among[key] for key in ("date", "commit", "machine")}, "hours": dict(options.stages)}
    write_result(result("training", settings, [*points, *levels], []), options.output)
    plot_curve(points, levels, options.picture)


def parse_stage(text: str) -> tuple[str, float]:
    """Parse NAME=HOURS."""
    name, _, hours = text.partition("=")
    if not (name and float(hours) > 0):  # argparse reports a ValueError of float too
        raise argparse.ArgumentTypeError(f"expected NAME=HOURS with hours above 0, got {text}")
    return name, float(hours)


def measure_points(among: Result, stages: Sequence[tuple[str, float]]) -> list[Result]:
    """Return nDCG@10 among the most documents for each stage and width.

    Raises:
        SystemExit: the result has no row of a stage.
    """
    most = most_documents(among["systems"])
    values = {(row["system"], row["dim"]): row["documents"][most][NDCG] for row in among["systems"]}
    points = []
    for name, hours in stages:
        for dim in DIMS:
            if (name, dim) not in values:
                raise SystemExit(f"{name}: no row of it at {dim} dimensions; measure it by quality.among")
            about = {"system": name, "dim": dim, "hours": hours}
            points.append(measurement(f"{name}, {dim}: {NDCG} among {most}", "x 100", [values[name, dim]]) | about)
    return points


def measure_levels(among: Result) -> list[Result]:
    """Return nDCG@10 of the teacher and of the model that the student starts from, at their own widths."""
    most = most_documents(among["systems"])
    names = {student_name(among["systems"])}
    names |= {row["system"] for row in among["systems"] if row["what"] == RowKind.TEACHER.value}
    return [
        measurement(f"{row['system']}: {NDCG} among {most}", "x 100", [row["documents"][most][NDCG]])
        | {"system": row["system"], "dim": row["dim"]}
        for row in among["systems"]
        if row["system"] in names
    ]


def plot_curve(points: Sequence[Result], levels: Sequence[Result], path: Path) -> None:
    """Draw a line per width over the hours, and a level for each other model."""
    with save_figure(path, width=8, height=4.5) as figure:
        axes: Any = figure.subplots()
        for dim in DIMS:
            of_dim = [point for point in points if point["dim"] == dim]
            hours = [point["hours"] for point in of_dim]
            axes.plot(
                hours,
                [point["median"] for point in of_dim],
                color=color("base"),
                linestyle=DASHES[dim],
                marker="o",
                label=f"base, {dim} dimensions",
            )
        for level in levels:
            axes.axhline(level["median"], linestyle=":", color=color(level["system"]), label=level["system"])
        for point in points:
            if point["dim"] == DIMS[0]:
                at = point["hours"], point["median"]
                axes.annotate(point["system"], at, (0, 6), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        ticks = sorted({point["hours"] for point in points})
        axes.set_xticks(ticks, [f"{hours:g}" for hours in ticks])
        axes.minorticks_off()
        axes.margins(x=0.15)
        axes.set_xlabel("hours of training, 2 cores")
        axes.set_ylabel(f"{NDCG} x 100 among many texts")
        figure.legend(loc="outside lower center", ncols=2)


if __name__ == "__main__":
    main()
