"""Make the tables of docs/scaling.md from results/plan.json, results/scale.json and the figures that ship.

The page calls `make_table` between the markers of cog. `make pages` writes the tables, and a test compares them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.common.results import RESULTS, Result, Rows, markdown_table, number_text
from benchmarks.report.encoders_page import environment
from benchmarks.report.show_results import read_result
from benchmarks.report.tables import NOT_MEASURED, find_measurements
from benchmarks.scale.fanout import MODES, PERCENTILES, SHARDS
from benchmarks.scale.figures import find_measurement
from benchmarks.scale.plan_texts import WORDS
from hpdsearch.cluster.capacity import (
    catalog_bytes,
    code_bytes,
    encode_hours,
    lexical_bytes,
    split_documents,
    vector_bytes,
)
from hpdsearch.cluster.figures import Figures, read_figures
from hpdsearch.cluster.latency import query_latency, segment_milliseconds
from hpdsearch.dense import Codec, IndexType

MEGABYTE = 1e6
SIZES = (1_000_000, 10_000_000)
WINDOW = 256  # max_tokens of base
HELD_OUT = 10_000_000  # the size that a latency is predicted for from the smaller ones


def make_table(name: str, results: Path = RESULTS) -> str:
    """Return a block of the page between empty lines, by its name in TABLES."""
    return f"\n{TABLES[name](results)}\n"


def code_sizes(results: Path) -> str:
    """Return the bytes of a passage by codec and width, for segments of a million passages."""
    dims = (64, 128, 256)
    rows = [["codec", *(f"{kind.value}, {dim}" for kind in (IndexType.FLAT, IndexType.IVF) for dim in dims)]]
    for codec in (Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ):
        sizes = [
            code_bytes(kind, codec, SIZES[0], dim) / SIZES[0]
            for kind in (IndexType.FLAT, IndexType.IVF)
            for dim in dims
        ]
        rows.append([codec.value, *map(number_text, sizes)])
    return markdown_table(rows)


def memory_check(results: Path) -> str:
    """Return computed and measured bytes of vectors and codes, at a million and ten million passages."""
    made = read_result(results / "scale.json")
    rows = [["index", "passages", "vectors MB", "measured", "codes MB", "file", "resident", "resident / formula"]]
    for kind, codec, n in measured_indexes(made):
        found = {
            what: find_measurement(made["measurements"], f"{kind} {codec}", n, what)
            for what in ("vectors on disk", "index on disk", "resident, its own")
        }
        vectors, file, resident = (one["median"] if one else float("nan") for one in found.values())
        codes = code_bytes(IndexType(kind), Codec(codec), n, made["settings"]["dim"]) / MEGABYTE
        cells = [vector_bytes(n, made["settings"]["dim"]) / MEGABYTE, vectors, codes, file, resident, resident / codes]
        rows.append([f"{kind} {codec}", f"{n:,}", *map(number_text, cells)])
    return f"{markdown_table(rows)}\n\n{environment(made)}"


def measured_indexes(made: Result) -> Iterator[tuple[str, str, int]]:
    """Yield index type, codec and size of each index of scale.json that has one of SIZES."""
    for n in SIZES:
        for curve in made["curves"]:
            kind, _, codec = curve["system"].partition(" ")
            if codec and curve["n"] == n:
                yield kind, codec, n


def text_check(results: Path) -> str:
    """Return tokens, passages and bytes of documents, and the passages by the formula."""
    made = read_result(results / "plan.json")
    figures = read_figures()
    rows = [["words", "tokens", "passages", "formula", "catalog bytes", "lexical bytes"]]
    for words in WORDS:
        found = {what: one["median"] for what, one in find_measurements(made, words=words).items()}
        formula = split_documents(figures, found["words"], WINDOW).passages.value
        cells = [
            found["words"],
            found["tokens"],
            found["passages"],
            formula,
            found["catalog_bytes"],
            found["lexical_bytes"],
        ]
        rows.append([number_text(cell) for cell in cells])
    return f"{markdown_table(rows)}\n\n{environment(made)}"


def latency_check(results: Path) -> str:
    """Return the latency of segments, and that of ten million passages predicted from smaller ones."""
    figures = read_figures()
    rows = [["index", "dimensions", "10,000", "100,000", "1,000,000", "10,000,000", "basis of the last"]]
    for kind, codec, dim in sorted({(one.kind, one.codec, one.dim) for one in figures.search}):
        target = min(
            one.recall_target for one in figures.search if (one.kind, one.codec, one.dim) == (kind, codec, dim)
        )
        cells = [
            segment_milliseconds(figures, IndexType(kind), Codec(codec), dim, n, target)
            for n in (10_000, 100_000, *SIZES)
        ]
        rows.append([f"{kind} {codec}", str(dim), *(number_text(one.value) for one in cells), cells[-1].basis.label])
    return f"{markdown_table(rows)}\n\n{predicted(figures)}"


def predicted(figures: Figures) -> str:
    """Return a sentence with the latency at HELD_OUT passages that the smaller sizes predict, and the measured one."""
    kept = tuple(one for one in figures.search if one.n_passages < HELD_OUT)
    smaller = Figures(**vars(figures) | {"search": kept})
    (truth,) = (one for one in figures.search if one.n_passages == HELD_OUT)
    guess = segment_milliseconds(
        smaller, IndexType(truth.kind), Codec(truth.codec), truth.dim, HELD_OUT, truth.recall_target
    ).value
    return (
        f"Extrapolated from the sizes up to 1,000,000, {truth.kind} {truth.codec} of {HELD_OUT:,} passages takes "
        f"{number_text(guess)} ms; {number_text(truth.milliseconds)} ms were measured, "
        f"{number_text(truth.milliseconds / guess)} times as much."
    )


def service_check(results: Path) -> str:
    """Return computed latency and rate of a million passages beside those of the HTTP service."""
    made = read_result(results / "serve.json")
    figures = read_figures()
    n, dim, cores = made["settings"]["n_documents"], made["settings"]["dim"], made["machine"]["cores"]
    values = {one["name"]: one["median"] for one in made["measurements"]}
    rows = [
        [
            "mode",
            "query p50 ms, formula",
            "service, 1 client",
            "queries/s with all cores busy, formula",
            "service, at most",
        ]
    ]
    for mode in ("dense", "hybrid"):
        segment = segment_milliseconds(figures, IndexType.IVF, Codec.PQ, dim, n, 0.95)
        found = query_latency(figures, "base", segment, 1, n, hybrid=mode == "hybrid")
        best = max(value for name, value in values.items() if name.startswith(f"{mode}, ") and "a second" in name)
        cells = [found.total[0].value, values[f"{mode}, 1 clients, latency"], 1000 * cores / found.core.value, best]
        rows.append([mode, *map(number_text, cells)])
    return f"{markdown_table(rows)}\n\n{environment(made)}"


def hours(results: Path) -> str:
    """Return the hours of encoding a million passages on one core and on two."""
    figures = read_figures()
    rows = [["encoder", "tokens of a passage", "1 core", "2 cores", "basis"]]
    for encoder in figures.single_text:
        for tokens in (50, 150, 210):
            found = [encode_hours(figures, encoder, SIZES[0], tokens, device="cpu", units=units) for units in (1, 2)]
            rows.append([encoder, str(tokens), *(number_text(one.value) for one in found), found[0].basis.label])
    return markdown_table(rows)


def fan_out(results: Path) -> str:
    """Return the slowest shard by the number of shards: by the formula, and as measured where it was."""
    made = read_result(results / "plan.json")
    rows: Rows = [["shards", *(f"{mode} p{p}" for mode in ("dense", "hybrid") for p in PERCENTILES)]]
    found = {
        (one["what"], one["mode"], one["percent"], one["n_shards"]): one
        for one in made["measurements"]
        if "percent" in one
    }
    for what, label in (("shard", "1, measured"), ("slowest", "{n}, measured"), ("formula", "{n}, formula")):
        for n in sorted({key[3] for key in found if key[0] == what}):
            cells = [found[what, mode, p, n] for mode in ("dense", "hybrid") for p in PERCENTILES]
            marks = ["*" if one.get("basis") == "extrapolated" else "" for one in cells]
            rows.append(
                [label.format(n=n), *(f"{number_text(one['median'])}{m}" for one, m in zip(cells, marks, strict=True))]
            )
    load = made["machine"]["load_average_before"][0]
    counts = [f"{shape['n_samples']:,} ({mode})" for mode, shape in made["shapes"].items()]
    left_out = [one["median"] for one in made["measurements"] if one.get("what") == "left out"]
    return (
        f"{markdown_table(rows)}\n\n`*`: beyond the measured latencies, which are {' and '.join(counts)}. "
        f"{number_text(max(left_out))} % of the searches were left out at most. The load average was {load:g} before "
        f"the run. {environment(made)}"
    )


def merging(results: Path) -> str:
    """Return the milliseconds of merging by shards and mode."""
    made = read_result(results / "plan.json")
    found = {
        (one["n_shards"], one["merged"]): one["median"] for one in made["measurements"] if one.get("what") == "merge"
    }
    if not found:
        return NOT_MEASURED
    rows = [["shards", *(f"{mode}, ms" for mode in MODES)]]
    rows += [[str(n), *(number_text(found[n, mode]) for mode in MODES)] for n in SHARDS]
    return markdown_table(rows)


def catalog(results: Path) -> str:
    """Return a sentence with the bytes of texts at 120 words."""
    figures = read_figures()
    cells = [number_text(make(figures, 120).value) for make in (catalog_bytes, lexical_bytes)]
    return f"A document of 120 words takes {cells[0]} bytes in the catalog and {cells[1]} in the lexical index."


def cluster(results: Path) -> str:
    """Return the seconds of builds with and without Ray, and the comparison of the indexes."""
    path = results / "cluster.json"
    if not path.exists():
        return NOT_MEASURED
    made = read_result(path)
    median = {one["name"]: one["median"] for one in made["measurements"]}
    rows = [["build", "seconds", "encoding alone", "seconds / hpdsearch index"]]
    for name, seconds in median.items():
        kind, _, system = name.partition(", ")
        if kind == "build" and "/" not in system:
            encoding = median.get(f"encoding, {system}")
            cells = [number_text(seconds), "" if encoding is None else number_text(encoding)]
            rows.append([system, *cells, number_text(seconds / median["build, hpdsearch index"])])
    settings = made["settings"]
    return (
        f"{markdown_table(rows)}\n\n{settings['n']:,} texts, encoder `{settings['encoder']}`, {settings['shards']} "
        f"shards. Two actors of one core encode {number_text(median['encoding, 1 actor / 2 actors'])} times as fast as "
        f"one. {number_text(100 * median['documents with equal bits'])} % of the documents have the same bits as "
        f"without Ray. {environment(made)}"
    )


TABLES: dict[str, Callable[[Path], str]] = {
    "code sizes": code_sizes,
    "memory": memory_check,
    "texts": text_check,
    "catalog": catalog,
    "latency": latency_check,
    "service": service_check,
    "hours": hours,
    "fan-out": fan_out,
    "merging": merging,
    "cluster": cluster,
}
