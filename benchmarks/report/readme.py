"""Make the generated blocks of README.md. Every number is from a result file, or the size of a shipped encoder.

README calls these functions between the markers of cog. `make pages` writes the blocks, and a test compares them.
"""

import json
from functools import lru_cache
from pathlib import Path

from benchmarks.common.results import RESULTS, Result, markdown_table, number_text
from benchmarks.report.show_results import machine_text

ENCODERS = Path(__file__).resolve().parents[2] / "hpdsearch" / "encoders"
MILLION = 1_000_000
RIVAL = "base / all-MiniLM-L6-v2"  # beginning of the name of a target in encoding.json
# Name in engines.json -> name in README.
PROGRAMS = {
    "hpdsearch, base": "**hpdsearch**, hybrid (default)",
    "hpdsearch, base, dense alone": "**hpdsearch**, dense",
    "hpdsearch, static": "**hpdsearch**, `static` encoder, hybrid",
    "sentence-transformers + faiss": "sentence-transformers + faiss (all-MiniLM-L6-v2)",
    "Chroma": "Chroma (all-MiniLM-L6-v2)",
    "txtai": "txtai (all-MiniLM-L6-v2)",
    "LEANN, embeddings stored": "LEANN, embeddings stored (all-MiniLM-L6-v2)",
    "model2vec + vicinity": "model2vec + vicinity",
    "bm25s": "bm25s (BM25)",
}
LAYERS = {"base": "6 layers", "small": "3 layers", "static": "token table"}


def reasons() -> str:
    """Return the list of reasons to use hpdsearch, each with its numbers."""
    of_teacher = {(row["system"], row["dim"]): row["of_teacher"] for row in _read("quality")["systems"]}
    base = of_teacher["base", 256]
    hybrid = of_teacher["base hybrid", 256]
    ratios = {row["name"]: number_text(row["measured"]) for row in _read("encoding")["targets"]}
    base_ratio = ratios["base / teacher, short texts, 2 cores"]
    static_ratio = ratios["static / teacher, short texts, 2 cores"]
    rival_ratio = next(ratio for name, ratio in ratios.items() if name.startswith(RIVAL) and "short texts" in name)
    seconds = {row["name"]: row["median"] for row in _read("startup")["measurements"]}
    flat = _medians_at_a_million("base", 256, "flat pq")
    ivf = _medians_at_a_million("base", 128, "ivf pq")
    teacher = _medians_at_a_million("all-mpnet-base-v2", 768, "flat f32")
    lines = [
        f"**Quality**: `base` keeps {base['STS']:.1f} % of the STS score of its teacher, all-mpnet-base-v2. On seven"
        f" retrieval collections it keeps {base['nDCG@10']:.1f} % of the nDCG@10, and with hybrid search"
        f" {hybrid['nDCG@10']:.1f} %.",
        f"**Memory**: an index of a million documents takes {flat['bytes a document']} bytes of memory per document."
        f" A float32 vector of the teacher takes {teacher['bytes a document']}.",
        f"**Search**: a search among a million documents takes {flat['query p50']} ms, or {ivf['query p50']} ms with an"
        f" IVF index at 128 dimensions. Exact search at the teacher's width takes {teacher['query p50']} ms.",
        f"**Encoding**: `base` embeds {base_ratio} times as many short texts per second as its teacher, `static`"
        f" {static_ratio} times. For `base` that is {rival_ratio} times as many as all-MiniLM-L6-v2, a model of its"
        " size, in the fastest setting of sentence-transformers and fastembed.",
        f"**Start**: a query from the shell takes {seconds['hpdsearch query']:.2f} s, including the start of the"
        f" process. A script on sentence-transformers takes {seconds['sentence-transformers script']:.2f} s.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def comparison() -> str:
    """Return the table of complete search programs over the same documents and queries, and the machine."""
    made = _read("engines")
    measured: dict[str, dict[str, float]] = {}
    for row in made["measurements"]:
        measured.setdefault(row["system"], {})[row["what"]] = row["median"]
    rows = [["program", "quality (nDCG@10)", "indexing, s", "one query, ms", "memory, MB"]]
    for system, name in PROGRAMS.items():
        found = measured[system]
        times = [number_text(found[what]) for what in ("indexing", "warm query p50", "serving memory")]
        rows.append([name, f"{found['nDCG@10']:.1f}", *times])
    n = made["settings"]["n"]
    n_queries = made["settings"]["n_queries"]
    intro = f"Each program indexed the same {n:,} texts and answered {n_queries} judged queries, with default settings:"
    return f"{intro}\n\n{markdown_table(rows)}\n\n{_machine()}"


def encoders() -> str:
    """Return the table of the shipped encoders, with the bytes of their folders."""
    quality = {(row["system"], row["dim"]): row["of_teacher"] for row in _read("quality")["systems"]}
    rows = [["encoder", "model", "size, MB", "STS, % of teacher", "nDCG@10, % of teacher", "short texts per second"]]
    for name, model in LAYERS.items():
        kept = quality[name, 256]
        size_mb = sum(path.stat().st_size for path in (ENCODERS / name).glob("[!R]*")) / 1e6
        rate = next(
            row["median"]
            for row in _read("encoding")["measurements"]
            if (row.get("system"), row.get("what"), row.get("threads")) == (name, "short texts", 2)
        )
        scores = [f"{kept[metric]:.1f}" for metric in ("STS", "nDCG@10")]
        rows.append([f"`{name}`", model, f"{size_mb:.1f}", *scores, number_text(rate)])
    return markdown_table(rows)


def _machine() -> str:
    """Return a sentence with the machine and the dates of the results that README quotes."""
    made = [_read(name) for name in ("quality", "encoding", "retrieval", "engines", "startup")]
    machines = dict.fromkeys(machine_text(one) for one in made)
    dates = sorted({one["date"][:10] for one in made})
    first_and_last = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    return f"All numbers on this page were measured on {'; '.join(machines)}, {first_and_last}."


def _medians_at_a_million(encoder: str, dim: int, index: str) -> dict[str, str]:
    """Return the medians of an index of a million documents, by what was measured."""
    key = {"encoder": encoder, "dim": dim, "index": index, "n": MILLION}
    rows = [row for row in _read("retrieval")["measurements"] if key.items() <= row.items()]
    return {row["what"]: number_text(row["median"]) for row in rows}


@lru_cache
def _read(name: str) -> Result:
    found: Result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found
