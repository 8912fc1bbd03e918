"""Make the file of figures that `hpdsearch plan` computes from, out of result files of one machine."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.common.results import Result, six_digits
from benchmarks.report.show_results import machine_text
from benchmarks.report.tables import find_measurements
from benchmarks.scale.figures import find_measurement
from benchmarks.scale.plan_texts import WORDS
from hpdsearch.cluster.capacity import code_bytes
from hpdsearch.cluster.estimates import interpolate
from hpdsearch.cluster.figures import FORMAT
from hpdsearch.dense import Codec, IndexType

ENCODERS = ("base", "small", "static")
LENGTHS = ("short texts", "passages")
MILLION = 1_000_000
Values = dict[str, Any]


def make_figures(results: Mapping[str, Result]) -> Values:
    """Return the figures as JSON values.

    Args:
        results: by name: plan, scale, retrieval, encoding, query_latency, scale_words and serve.
    """
    plan = results["plan"]
    search = [*scale_figures(results["scale"]), *retrieval_figures(results["retrieval"])]
    return {
        "format": FORMAT,
        "machine": describe_machine(plan),
        "sources": [describe_source(made) for made in results.values()],
        "search": search,
        "encoding": [*encoding_figures(results["encoding"]), *plan.get("gpus", [])],
        "single_text": single_text_figures(results["encoding"]),
        "texts": text_figures(plan),
        "stages": stage_figures(results, search),
        "process_bytes": process_bytes(results["serve"]),
        "shapes": plan["shapes"],
        "merging": [
            {"mode": one["merged"], "n_shards": one["n_shards"], "milliseconds": one["median"]}
            for one in plan["measurements"]
            if one.get("what") == "merge"
        ],
    }


def describe_machine(made: Result) -> str:
    """Return the machine of a result, with the widest vector instructions of its processor."""
    features = made["machine"]["features"]
    widest = next((name for name in ("avx512f", "avx2", "sve", "asimd") if name in features), "no vector instructions")
    return f"{machine_text(made)}, {widest}"


def describe_source(made: Result) -> dict[str, str]:
    """Return benchmark, date, commit and machine of a result."""
    return {
        "benchmark": made["benchmark"],
        "date": made["date"][:10],
        "commit": made["commit"] or "unknown",
        "machine": describe_machine(made),
    }


def scale_figures(made: Result) -> Iterator[Values]:
    """Yield the latency of each index type and codec by size, with its operating points."""
    dim = made["settings"]["dim"]
    for curve in made["curves"]:
        kind, _, codec = curve["system"].partition(" ")
        found = find_measurement(made["measurements"], curve["system"], curve["n"], "query p50")
        if codec and found:
            points = [[six_digits(one["lowest"]), six_digits(one["milliseconds"])] for one in curve["points"]]
            target = made["settings"]["promise"]
            yield search_figure(kind, codec, dim, curve["n"], target, found["median"], points)


def retrieval_figures(made: Result) -> Iterator[Values]:
    """Yield what scale.json lacks: other widths and f32; their operating points were not kept."""
    for one in made["measurements"]:
        if one.get("what") != "query p50" or one.get("encoder") != "base" or one.get("codec") is None:
            continue
        if one["kind"] not in ("flat", "ivf") or (one["dim"] == 128 and one["codec"] != "f32"):
            continue
        exact = one["codec"] == "f32" and one["kind"] == "flat"
        target = 1.0 if exact else one["spec"]["recall"]
        yield search_figure(one["kind"], one["codec"], one["dim"], one["n"], target, one["median"], [])


def search_figure(
    kind: str, codec: str, dim: int, n: int, target: float, milliseconds: float, points: list[list[float]]
) -> Values:
    """Return the values of a SearchFigure."""
    return {
        "kind": kind,
        "codec": codec,
        "dim": dim,
        "n_passages": n,
        "recall_target": target,
        "milliseconds": milliseconds,
        "points": points,
    }


def encoding_figures(made: Result) -> Iterator[Values]:
    """Yield the rate of each encoder by cores and length of texts."""
    tokens = dict(text.rsplit(" ", 1) for text in made["settings"]["tokens_a_text"])
    for encoder in ENCODERS:
        for threads in made["settings"]["threads"]:
            found = find_measurements(made, system=encoder, threads=threads)
            for length in LENGTHS:
                yield {
                    "encoder": encoder,
                    "device": "cpu",
                    "units": threads,
                    "n_tokens": float(tokens[length]),
                    "texts_per_second": found[length]["median"],
                }


def single_text_figures(made: Result) -> dict[str, list[float]]:
    """Return p50, p95 and p99 of encoding one query on one core."""
    found = {name: find_measurements(made, system=name, threads=1)["single text"] for name in ENCODERS}
    return {name: [one["median"], one["p95"], one["p99"]] for name, one in found.items()}


def text_figures(made: Result) -> list[Values]:
    """Return the bytes, tokens and passages of documents by their words."""
    return [
        {what: one["median"] for what, one in find_measurements(made, words=words).items()}
        for words in WORDS
        if find_measurements(made, words=words)
    ]


def stage_figures(results: Mapping[str, Result], search: list[Values]) -> list[Values]:
    """Return what a search of a complete index takes beside the scan of codes and the encoding.

    query_latency.json has the stages of an index of 117,659 passages, flat pq of 256 dimensions; scale_words.json that
    of a million, flat pq of 128 dimensions, whose vectors are given. The scan is that of scale.json and retrieval.json.
    """
    parts = {one["name"]: one["median"] for one in results["query_latency"]["measurements"]}
    small = results["query_latency"]["settings"]["n_passages"]
    dense, hybrid = (parts[f"{mode}, search"] + parts[f"{mode}, fetch"] for mode in ("dense", "hybrid"))
    wide = sorted(
        (one["n_passages"], one["milliseconds"])
        for one in search
        if (one["kind"], one["codec"], one["dim"]) == ("flat", "pq", 256)
    )
    words = {one["name"]: one["median"] for one in results["scale_words"]["measurements"]}
    scan = find_measurement(results["scale"]["measurements"], "flat pq", MILLION, "query p50")
    assert scan is not None
    return [
        {
            "n_passages": small,
            "documents": six_digits(dense - interpolate(wide, small).value),
            "lexical": six_digits(hybrid - dense),
        },
        {
            "n_passages": results["scale_words"]["settings"]["n"],
            "documents": six_digits(words["dense, p50"] - scan["median"]),
            "lexical": six_digits(words["hybrid, p50"] - words["dense, p50"]),
        },
    ]


def process_bytes(made: Result) -> int:
    """Return the memory of a service under load without the codes of its index (ivf pq)."""
    resident = next(one["median"] for one in made["measurements"] if one["name"] == "memory, last tenth") * 1e6
    settings = made["settings"]
    return int(resident - code_bytes(IndexType.IVF, Codec.PQ, settings["n_documents"], settings["dim"]))
