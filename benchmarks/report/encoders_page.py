"""Make the tables of docs/encoders.md from results/quality.json, results/encoding.json and the recipes.

The page calls `make_table` between the markers of cog. `make pages` writes the tables, and a test compares them.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.common.ir_metrics import NDCG
from benchmarks.common.quality_names import STS
from benchmarks.common.results import RESULTS, Result, markdown_table, number_text, target_rows
from benchmarks.report.among_rows import among_rows
from benchmarks.report.show_results import machine_text, read_result
from benchmarks.report.tables import NOT_MEASURED, all_quality, encoding, find_measurements
from benchmarks.report.tables import parts as report_parts
from hpdsearch.distillation.recipe import make_spec, read_recipe

ENCODERS = ("base", "small", "static")
STARTS = ("base-first", "small-first")  # recipes of encoders that others start from


def make_table(name: str, results: Path = RESULTS) -> str:
    """Return a block of the page between empty lines: the recipes, or a table by its name in TABLES."""
    if name == "recipes":
        return f"\n{recipes()}\n"
    benchmark, make = TABLES[name]
    return f"\n{make(read_result(results / f'{benchmark}.json'))}\n"


def targets(made: Result) -> str:
    """Return the targets and whether they are met."""
    return markdown_table(target_rows(made))


def means(made: Result) -> str:
    """Return the table of the means of each system at every width."""
    return all_quality({"quality": made})


def parts(made: Result) -> str:
    """Return the table of every task and collection, and the environment."""
    return f"{report_parts({'quality': made})}\n\n{environment(made)}"


def among(made: Result) -> str:
    """Return the table of quality among many texts, and the environments of its rows."""
    lines = [markdown_table(among_rows(made["systems"])), environment(made)]
    if kept := made["settings"].get("kept"):
        measured = ", ".join(one.split(" ")[0] for one in made["settings"]["encoders"])
        lines[-1] = f"{measured}: {lines[-1]}"
        lines.append("The other rows: " + " ".join(map(environment, kept)))
    return "\n\n".join(lines)


def training(made: Result) -> str:
    """Return the table of quality against hours of training: a row for each encoder, in the order of the result."""
    rows = [["encoder", "hours of training", f"{NDCG}, 256 dimensions", "128 dimensions"]]
    points = {(item["system"], item["dim"]): item for item in made["measurements"] if "hours" in item}
    for name in dict.fromkeys(name for name, _ in points):
        values = [f"{points[name, dim]['median']:.2f}" for dim in (256, 128)]
        rows.append([name, f"{points[name, 256]['hours']:g}", *values])
    return markdown_table(rows)


def exports(made: Result) -> str:
    """Return the table that compares integer products with float32, for the same encoders."""
    found = {(row["system"], row["dim"]): row for row in made["systems"]}
    rows = [
        [
            "encoder",
            "dim",
            f"{STS}, int8",
            "float32",
            "int8 minus float32",
            f"{NDCG}, int8",
            "float32",
            "int8 minus float32",
        ]
    ]
    for (name, dim), stored in found.items():
        if twin := found.get((f"{name} float32", dim)):
            int8, float32 = ([one["sts"]["average"], one["retrieval"]["means"][NDCG]] for one in (stored, twin))
            cells = [[f"{a:.2f}", f"{b:.2f}", f"{a - b:+.2f}"] for a, b in zip(int8, float32, strict=True)]
            rows.append([name, str(dim), *cells[0], *cells[1]])
    return markdown_table(rows) if len(rows) > 1 else NOT_MEASURED


def speed(made: Result) -> str:
    """Return the table of rates and single texts, and the environment."""
    return f"{encoding({'encoding': made})}\n\n{environment(made)}"


def choice(made: Result) -> str:
    """Return the table for choosing a built-in encoder: the time of a query and the rate of indexing."""
    rows = [["encoder", "one text, ms", "short texts per second", "relative to base"]]
    found = {name: find_measurements(made, system=name, threads=2) for name in ENCODERS}
    base_rate = found["base"]["short texts"]["median"]
    for name, values in found.items():
        rate = values["short texts"]["median"]
        single = number_text(values["single text"]["median"])
        rows.append([name, single, number_text(rate), f"{number_text(rate / base_rate)} x"])
    return f"{markdown_table(rows)}\n\nMeasured on 2 cores: {environment(made)}"


def missed(made: Result) -> str:
    """Return the table of missed quality targets with their distance to the limit."""
    rows = [["missed target", "missed by"]]
    for item in made["targets"]:
        if not item["met"]:
            rows.append([item["name"], f"{number_text(abs(item['measured'] - item['limit']))} {item['unit']}"])
    return markdown_table(rows) if len(rows) > 1 else "No target is missed."


def recipes() -> str:
    """Return the table of the recipe settings that differ between the included encoders."""
    names = ("encoder", "teachers", "student", "layers", "texts", "teacher texts", "epochs", "learning rate")
    rows = [[*names, "ensemble weight", "interpolate init", "match variance"]]
    for name in (*STARTS, *ENCODERS):
        recipe = read_recipe(name)
        spec = make_spec(recipe.spec)
        training = spec.resolve_training()
        layers = ", ".join(map(str, spec.layers)) if isinstance(spec.layers, tuple) else spec.layers or "all"
        teacher_texts = "all" if spec.n_teacher_texts is None else f"{spec.n_teacher_texts:,}"
        if spec.min_teacher_words:
            teacher_texts += f" of at least {spec.min_teacher_words} words"
        cells = [
            name,
            ", ".join(Path(teacher).name for teacher in recipe.teachers),
            Path(recipe.student).name,
            "token table" if spec.static else layers,
            f"{recipe.n_texts:,}",
            teacher_texts,
        ]
        cells += [f"{training.epochs:g}", f"{training.learning_rate:g}", f"{spec.ensemble_weight:g}"]
        rows.append([str(cell) for cell in (*cells, f"{spec.interpolate_init:g}", f"{spec.match_variance:g}")])
    return markdown_table(rows)


def environment(made: Result) -> str:
    """Return machine, date and commit."""
    return f"{machine_text(made)}; {made['date'][:10]}, commit {made['commit'] or 'unknown'}."


TABLES: dict[str, tuple[str, Callable[[Result], str]]] = {
    "among": ("among", among),
    "among targets": ("among", targets),
    "choice": ("encoding", choice),
    "missed": ("quality", missed),
    "quality targets": ("quality", targets),
    "speed targets": ("encoding", targets),
    "systems": ("quality", means),
    "parts": ("quality", parts),
    "exports": ("quality", exports),
    "training": ("training", training),
    "speed": ("encoding", speed),
}
