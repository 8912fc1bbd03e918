"""The generated blocks of README.md: every number comes from a result file, or is the size of a shipped encoder.

README names these functions between the markers of cog. `cog -r -I . README.md` writes the blocks; a test compares them.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.common.results import RESULTS, Result, markdown_table, number_text
from benchmarks.report.show_results import machine_text

ENCODERS = Path(__file__).resolve().parents[2] / "hpdsearch" / "encoders"
MILLION = 1_000_000
# Name in engines.json -> name in README.
PROGRAMS = {
    "hpdsearch, base": "**hpdsearch**, hybrid (default)",
    "hpdsearch, base, dense alone": "**hpdsearch**, dense",
    "hpdsearch, static": "**hpdsearch**, `static` encoder, hybrid",
    "sentence-transformers + faiss": "sentence-transformers + faiss (all-MiniLM-L6-v2)",
    "Chroma": "Chroma (all-MiniLM-L6-v2)",
    "txtai": "txtai (all-MiniLM-L6-v2)",
    "model2vec + vicinity": "model2vec + vicinity",
    "bm25s": "bm25s (BM25)",
}
LAYERS = {"base": "6 layers", "small": "3 layers", "static": "token table"}


def reasons() -> str:
    """Return the list of reasons to use hpdsearch, each with its numbers."""
    quality = {(row["system"], row["dim"]): row["of_teacher"] for row in _read("quality")["systems"]}
    rates = {row["name"]: row["measured"] for row in _read("encoding")["targets"]}
    startup = {row["name"]: row["median"] for row in _read("startup")["measurements"]}
    base = quality["base", 256]
    hybrid = quality["base hybrid", 256]
    lines = [
        f"**Quality**: `base` keeps {base['STS']:.1f} % of the STS score and {base['nDCG@10']:.1f} % of the nDCG@10 of its"
        f" teacher, all-mpnet-base-v2. Hybrid search reaches {hybrid['nDCG@10']:.1f} %.",
        f"**Memory**: with a million documents, each takes {_index('base', 256, 'flat pq', 'bytes a document')} bytes"
        f" of memory. A float32 vector of the teacher takes {_index('all-mpnet-base-v2', 768, 'flat f32', 'bytes a document')}.",
        f"**Search**: it takes {_index('base', 256, 'flat pq', 'query p50')} ms among a million documents, or"
        f" {_index('base', 128, 'ivf pq', 'query p50')} ms with an IVF index at 128 dimensions. Exact search at the teacher's"
        f" width takes {_index('all-mpnet-base-v2', 768, 'flat f32', 'query p50')} ms.",
        f"**Encoding**: `base` embeds {number_text(rates['base / teacher, short texts, 2 cores'])} times as many short texts"
        f" per second as its teacher, `static` {number_text(rates['static / teacher, short texts, 2 cores'])} times.",
        f"**Start**: a query from the shell takes {startup['hpdsearch query']:.2f} s, start of the process included; a"
        f" script on sentence-transformers takes {startup['sentence-transformers script']:.2f} s.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def comparison() -> str:
    """Return the table of complete search programs over the same documents and queries, and the machine."""
    made = _read("engines")
    measured: dict[str, dict[str, float]] = {}
    for row in made["measurements"]:
        measured.setdefault(row["system"], {})[row["what"]] = row["median"]
    rows = [["program", "quality (nDCG@10)", "one query, ms", "memory, MB"]]
    for system, name in PROGRAMS.items():
        found = measured[system]
        times = [number_text(found[what]) for what in ("warm query p50", "serving memory")]
        rows.append([name, f"{found['nDCG@10']:.1f}", *times])
    n, n_queries = made["settings"]["n"], made["settings"]["n_queries"]
    intro = f"Each program indexed the same {n:,} short texts and answered {n_queries} judged queries, with default settings:"
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
    return f"All numbers on this page were measured on {'; '.join(machines)}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."


def _index(encoder: str, dim: int, index: str, what: str) -> str:
    """Return a measurement among a million documents."""
    key = {"encoder": encoder, "dim": dim, "index": index, "n": MILLION, "what": what}
    return next(number_text(row["median"]) for row in _measurements("retrieval") if key.items() <= row.items())


def _measurements(name: str) -> Iterator[dict[str, Any]]:
    yield from _read(name)["measurements"]


@lru_cache
def _read(name: str) -> Result:
    found: Result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found
