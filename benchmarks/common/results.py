"""Turn measurements and targets into result files and tables.

A result file holds every single value beside the median. Figures in README come from result files only.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
from tabulate import tabulate

from benchmarks.common.labels import measurement_label
from benchmarks.common.machine import commit, machine, package_versions

FORMAT = 1
RESULTS = Path(__file__).resolve().parents[1] / "results"
PACKAGES = ("hpdsearch", "numpy", "onnxruntime", "tokenizers", "faiss-cpu", "tantivy", "click")

Result = dict[str, Any]
Rows = list[list[str]]


def measurement(name: str, unit: str, values: Iterable[float], *, percentiles: bool = False) -> Result:
    """Return a measurement with its median, min and max; with `percentiles` also its p95 and p99."""
    listed = [six_digits(value) for value in values]
    summary = {"median": six_digits(np.median(listed)), "min": min(listed), "max": max(listed)}
    if percentiles:
        summary |= {f"p{q}": six_digits(np.percentile(listed, q)) for q in (95, 99)}
    return {"name": name, "unit": unit, **summary, "values": listed}


def six_digits(value: SupportsFloat) -> float:
    """Round a number to six significant digits; no clock here is more exact."""
    return float(f"{float(value):.6g}")


def target(item: Result, *, at_most: float | None = None, at_least: float | None = None) -> Result:
    """Compare the median of a measurement with a limit; return rule, limit, median and whether the target is met."""
    assert (at_most is None) != (at_least is None)
    limit = at_most if at_most is not None else at_least
    assert limit is not None
    met = item["median"] <= limit if at_most is not None else item["median"] >= limit
    rule = "at most" if at_most is not None else "at least"
    about = {"name": item["name"], "rule": rule, "limit": limit, "unit": item["unit"]}
    return about | {"measured": item["median"], "met": met}


def ratios(name: str, above: Sequence[float], below: Sequence[float]) -> Result:
    """Return the ratio of two interleaved measurements, round by round."""
    return measurement(name, "x", [a / b for a, b in zip(above, below, strict=True)])


def result(
    benchmark: str,
    settings: Mapping[str, Any],
    measurements: Sequence[Result],
    targets: Sequence[Result],
    *,
    versions: Mapping[str, str] | None = None,
) -> Result:
    """Return the contents of a result file.

    Args:
        benchmark: name of the benchmark.
        settings: options and inputs: numbers, names, checksums of files.
        measurements: see `measurement`.
        targets: see `target`.
        versions: versions of further packages, by name.
    """
    return {
        "format": FORMAT,
        "benchmark": benchmark,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(),
        "settings": dict(settings),
        "machine": machine(),
        "versions": {**package_versions(PACKAGES), **(versions or {})},
        "measurements": list(measurements),
        "targets": list(targets),
    }


def write_result(made: Result, output: Path) -> None:
    """Write a result file and print it as a table."""
    output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made, indent=1, ensure_ascii=False)
    # Put the values of a measurement on one line: there may be thousands.
    text = re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", lambda match: f"[{' '.join(match[1].split())}]", text)
    output.write_text(text + "\n", encoding="utf-8")
    for rows in (measurement_rows(made), target_rows(made)):
        print("\n" + plain_table(rows))
    print(f"\n{output}")


def measurement_rows(made: Result) -> Rows:
    """Return a heading and one row per measurement."""
    rows = [["measurement", "unit", "median", "p95", "p99", "min", "max", "n"]]
    for item in made["measurements"]:
        numbers = [number_text(item[key]) if key in item else "" for key in rows[0][2:-1]]
        rows.append([measurement_label(item), item["unit"], *numbers, f"{len(item['values']):,}"])
    return without_empty_columns(rows)


def target_rows(made: Result) -> Rows:
    """Return a heading and one row per target."""
    rows = [["target", "limit", "measured (median)", "met"]]
    for item in made["targets"]:
        limit = f"{item['rule']} {number_text(item['limit'])} {item['unit']}"
        rows.append(
            [item["name"], limit, f"{number_text(item['measured'])} {item['unit']}", "yes" if item["met"] else "NO"]
        )
    return rows


def number_text(value: float) -> str:
    """Format a number with three significant digits, or as an integer from 100 on: 0.213, 14.7, 3,150."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:.{max(0, digits)}f}"


def without_empty_columns(rows: Rows) -> Rows:
    """Remove the columns that are empty below their heading."""
    keep = [column for column in range(len(rows[0])) if any(row[column] for row in rows[1:])]
    return [[row[column] for column in keep] for row in rows]


def plain_table(rows: Rows) -> str:
    """Format rows as aligned columns."""
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def markdown_table(rows: Rows) -> str:
    """Format rows as a Markdown table."""
    heading, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([heading, "|" + "---|" * len(rows[0]), *body])
