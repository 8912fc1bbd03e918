"""Make the summary table: one row per system with its quality, speed and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.common.labels import index_label
from benchmarks.common.quality_names import NDCG, STS
from benchmarks.common.results import Result, Rows, markdown_table, number_text, without_empty_columns

Results = Mapping[str, Result]


@dataclass(frozen=True)
class SummaryRow:
    """One system and its names in each result.

    Attributes:
        name: label in the table.
        quality: name in quality.json.
        dim: dimensions in quality.json and retrieval.json; None for BM25.
        encoder: encoder in retrieval.json.
        index: index in retrieval.json.
        single: name in encoding.json, or prefix of the names of its configurations; the table shows the fastest.
    """

    name: str
    quality: str
    dim: int | None
    encoder: str
    index: str
    single: str


TEACHER = "all-mpnet-base-v2"
MINILM = "all-MiniLM-L6-v2"
ROWS = (
    SummaryRow(f"teacher, {TEACHER}", TEACHER, 768, TEACHER, "flat f32", TEACHER),
    SummaryRow("teacher, IVF", TEACHER, 768, TEACHER, "ivf f32", TEACHER),
    SummaryRow("**hpdsearch, base**", "base", 256, "base", "flat pq", "base"),
    SummaryRow("**hpdsearch, base, IVF**", "base", 128, "base", "ivf pq", "base"),
    SummaryRow("hpdsearch, base, hybrid", "base hybrid", 256, "base", "hybrid", "base"),
    SummaryRow("hpdsearch, small", "small", 256, "small", "flat pq", "small"),
    SummaryRow("hpdsearch, static", "static", 256, "static", "flat pq", "static"),
    SummaryRow(MINILM, MINILM, 384, MINILM, "flat f32", MINILM),
    SummaryRow("model2vec", "model2vec", 256, "model2vec", "flat f32", "model2vec"),
    SummaryRow("BM25", "BM25", None, "BM25", "words", "BM25"),
)


def summary(results: Results) -> str:
    """Return the table; a missing measurement is an empty cell, and a system without measurements has no row."""
    sizes = _sizes(results)
    heading = ["system", "dim", "index", f"{STS}, % of teacher", f"{NDCG}, % of teacher", "one text, ms"]
    heading += [f"search among {n:,}, ms" for n in sizes]
    rows: Rows = [[*heading, "bytes per document"]]
    for line in ROWS:
        percent = _teacher_percent(results, line)
        cells = [_fixed(percent.get(STS)), _fixed(percent.get(NDCG)), _single(results, line)]
        cells += [_measured(results, line, n, "query p50") for n in sizes]
        cells += [
            next((found for n in reversed(sizes) if (found := _measured(results, line, n, "bytes a document"))), "")
        ]
        if any(cells):
            rows.append([line.name, str(line.dim or ""), index_label(line.index), *cells])
    return markdown_table(without_empty_columns(rows)) if len(rows) > 1 else "Not measured in this run."


def _sizes(results: Results) -> list[int]:
    """Return the sizes of retrieval.json to show: the one with the most measurements, and the largest."""
    measured = [one["n"] for one in results.get("retrieval", {"measurements": []})["measurements"] if "n" in one]
    return sorted({max(set(measured), key=measured.count), max(measured)}) if measured else []


def _teacher_percent(results: Results, line: SummaryRow) -> Mapping[str, float]:
    """Return the percentages of the teacher by metric."""
    systems = results.get("quality", {"systems": []})["systems"]
    rows = [row for row in systems if (row["system"], row["dim"]) == (line.quality, line.dim)]
    return rows[0].get("of_teacher", {}) if rows else {}


def _single(results: Results, line: SummaryRow) -> str:
    times = [
        one["median"]
        for one in results.get("encoding", {"measurements": []})["measurements"]
        if (one.get("what"), one.get("threads")) == ("single text", 1) and _is_configuration(one["system"], line.single)
    ]
    return number_text(min(times)) if times else ""


def _is_configuration(system: str, single: str) -> bool:
    """Tell whether a system of encoding.json is a model or one of its configurations."""
    teacher = single == TEACHER and system == "teacher"
    return teacher or system == single or system.startswith(f"{single}, ")


def _measured(results: Results, line: SummaryRow, n: int, what: str) -> str:
    wanted = {"encoder": line.encoder, "dim": line.dim, "index": line.index, "n": n, "what": what}
    for one in results.get("retrieval", {"measurements": []})["measurements"]:
        if all(one.get(key) == value for key, value in wanted.items()):
            return number_text(one["median"])
    return ""


def _fixed(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
