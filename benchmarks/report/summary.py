"""The summary table: one row per system with its quality, speed and bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.common.quality_names import NDCG, STS
from benchmarks.common.results import Result, Rows, markdown_table, number_text, without_empty_columns
from benchmarks.report.labels import index_label

Results = Mapping[str, Result]


@dataclass(frozen=True)
class SummaryRow:
    """One system and its names in each result.

    Attributes:
        name: shown.
        quality, dim: its row in quality.json.
        encoder, index: its measurements in retrieval.json; with dim.
        single: its name in encoding.json, or what its names begin with: the fastest way that it was run in is shown.
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
    """Return the table; missing measurements are empty cells, systems without any are left out."""
    sizes = _sizes(results)
    heading = ["system", "dim", "index", f"{STS}, % of teacher", f"{NDCG}, % of teacher", "one text, ms"]
    heading += [f"search among {n:,}, ms" for n in sizes]
    rows: Rows = [[*heading, "bytes a document"]]
    for line in ROWS:
        of = _teacher_percent(results, line)
        cells = [_fixed(of.get(STS)), _fixed(of.get(NDCG)), _single(results, line)]
        cells += [_measured(results, line, n, "query p50") for n in sizes]
        cells += [
            next((found for n in reversed(sizes) if (found := _measured(results, line, n, "bytes a document"))), "")
        ]
        if any(cells):
            rows.append([line.name, str(line.dim or ""), index_label(line.index), *cells])
    return markdown_table(without_empty_columns(rows)) if len(rows) > 1 else "Not measured in this run."


def _sizes(results: Results) -> list[int]:
    """Return the sizes of retrieval.json that are shown: where most systems were measured, and the largest."""
    measured = [one["n"] for one in results.get("retrieval", {"measurements": []})["measurements"] if "n" in one]
    return sorted({max(set(measured), key=measured.count), max(measured)}) if measured else []


def _teacher_percent(results: Results, line: SummaryRow) -> Mapping[str, float]:
    """Return the percentages of the teacher by metric."""
    systems = results.get("quality", {"systems": []})["systems"]
    rows = [row for row in systems if (row["system"], row["dim"]) == (line.quality, line.dim)]
    return rows[0].get("of_teacher", {}) if rows else {}


def _single(results: Results, line: SummaryRow) -> str:
    took = [
        one["median"]
        for one in results.get("encoding", {"measurements": []})["measurements"]
        if (one.get("what"), one.get("threads")) == ("single text", 1) and _is_way(one["system"], line.single)
    ]
    return number_text(min(took)) if took else ""


def _is_way(system: str, single: str) -> bool:
    """Tell whether a system of encoding.json is a model, or a way to run it."""
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
