"""Lay out the quality among many texts as rows of a table."""

from collections.abc import Sequence

from benchmarks.common.labels import system_label
from benchmarks.common.quality_names import NDCG
from benchmarks.common.results import Result, Rows

TEACHER = "teacher"  # value of judge.RowKind


def among_rows(rows: Sequence[Result]) -> Rows:
    """Return a heading and a row for each system: the mean, percent of the teacher, and each collection."""
    sizes = list(rows[0]["documents"])
    collections = list(rows[0]["documents"][sizes[0]]["collections"])
    heading = ["system", "dim"]
    for n in sizes:
        heading += [f"{n} documents", "% of teacher", *collections]
    teacher = next((row for row in rows if row["what"] == TEACHER), None)
    lines = [heading]
    for row in rows:
        cells = [system_label(row["system"]), str(row["dim"])]
        for n, found in row["documents"].items():
            share = 100 * found[NDCG] / teacher["documents"][n][NDCG] if teacher else None
            cells += [f"{found[NDCG]:.2f}", "" if share is None else f"{share:.1f}"]
            cells += [f"{found['collections'][name]:.2f}" for name in collections]
        lines.append(cells)
    return lines
