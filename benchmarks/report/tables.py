"""Make the tables and paragraphs of REPORT.md from the result files."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.common.labels import BACK_PROJECTED, dimension_label, index_label, system_label
from benchmarks.common.quality_names import N_MEANS, NDCG
from benchmarks.common.results import Result, Rows, markdown_table, number_text, without_empty_columns
from benchmarks.quality.judge import system_table
from benchmarks.report.show_results import machine_text, setting_text
from benchmarks.report.show_results import targets as targets_of
from benchmarks.report.summary import summary

Results = Mapping[str, Result]
NOT_MEASURED = "Not measured in this run."
FAILED = "Failed or did not finish"
SHOWN_DIMS = (256, 128)  # the default and the width of the paper; docs/encoders.md has all
LATENCIES = ("query p50", "query p95", "query p99")


def find_measurements(made: Result, **wanted: object) -> dict[str, Result]:
    """Return the measurements with the given keys, by their "what".

    Args:
        made: a result.
        wanted: required keys and values.
    """
    found = (one for one in made["measurements"] if all(one.get(key) == value for key, value in wanted.items()))
    return {one["what"]: one for one in found if "what" in one}


def list_systems(made: Result, **wanted: object) -> list[str]:
    """Return the names of the systems of a result, in its order."""
    found = (one for one in made["measurements"] if all(one.get(key) == value for key, value in wanted.items()))
    return list(dict.fromkeys(one["system"] for one in found if "system" in one))


def format_median(one: Result | None, *, span: bool = False) -> str:
    """Format a measurement's median, with `span` also the range of repeated values; "" for None."""
    if one is None:
        return ""
    text = number_text(one["median"])
    if span and len(one["values"]) > 1:
        text += f" ({number_text(one['min'])} to {number_text(one['max'])})"
    return text


def table(rows: Rows) -> str:
    """Format rows below a heading as Markdown; without rows return a sentence."""
    return markdown_table(without_empty_columns(rows)) if len(rows) > 1 else NOT_MEASURED


# ---- quality


def quality(results: Results) -> str:
    """Return the mean scores of each system at its full width and at SHOWN_DIMS."""
    systems = results.get("quality", {"systems": []})["systems"]
    full = {row["system"]: row["dim"] for row in reversed(systems)}
    return _mean_scores([row for row in systems if row["dim"] in (*SHOWN_DIMS, full[row["system"]])])


def all_quality(results: Results) -> str:
    """Return the mean scores of each system at every width."""
    return _mean_scores(results.get("quality", {"systems": []})["systems"])


def _mean_scores(systems: Sequence[Result]) -> str:
    if not systems:
        return NOT_MEASURED
    heading, *rows = [row[:N_MEANS] for row in system_table(systems)]
    return table([heading, *([system_label(row[0]), *row[1:]] for row in rows)])


def parts(results: Results) -> str:
    """Return each system's value of every task (STS) and collection (nDCG@10)."""
    if "quality" not in results:
        return NOT_MEASURED
    return table(
        [[system_label(row[0]), row[1], *row[N_MEANS:]] for row in system_table(results["quality"]["systems"])]
    )


# ---- encoding


def encoding(results: Results) -> str:
    """Return rates and latency of every encoder, with one row per number of cores."""
    if "encoding" not in results:
        return NOT_MEASURED
    made = results["encoding"]
    rates = ("short texts", "passages")
    rows = [["encoder", "cores", *(f"{kind} per second" for kind in rates), "one text, p50 ms", "one text, p95 ms"]]
    rows[0] += [f"share of peak, {kind}, %" for kind in rates]
    for threads in sorted({one["threads"] for one in made["measurements"] if "threads" in one}):
        for name in list_systems(made, threads=threads):
            found = find_measurements(made, system=name, threads=threads)
            single = found.get("single text")
            cells = [format_median(found.get(kind), span=True) for kind in rates]
            cells += [format_median(single), number_text(single["p95"]) if single and "p95" in single else ""]
            cells += [format_median(found.get(f"share of peak, {kind}")) for kind in rates]
            if any(cells):
                rows.append([name, str(threads), *cells])
    failed = made.get("failed", {})
    return "\n\n".join([table(rows), *([_bullet_list(FAILED, failed)] if failed else [])])


# ---- retrieval


def retrieval(results: Results) -> str:
    """Return one table per size with the quality, speed and bytes of every system."""
    if "retrieval" not in results:
        return NOT_MEASURED
    made = results["retrieval"]
    sizes = sorted({one["n"] for one in made["measurements"] if "n" in one})
    return "\n\n".join(f"### {n:,} documents\n\n{_retrieval_at(made, n)}" for n in sizes)


def _retrieval_at(made: Result, n: int) -> str:
    heading = [
        "system",
        "dim",
        "index",
        NDCG,
        "ann_recall@10",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "queries/s in a batch",
    ]
    columns: tuple[str, ...] = (
        NDCG,
        "ann_recall@10",
        *LATENCIES,
        "batch",
        "resident memory",
        "bytes a document",
        "index on disk",
    )
    columns += ("vectors on disk", "build")
    rows = [[*heading, "resident MB", "bytes per document", "index MB", "vectors MB", "build s"]]
    for name in list_systems(made, n=n):
        found = find_measurements(made, system=name, n=n)
        if "query p50" in found:
            about = found["query p50"]
            rows.append(
                [
                    _encoder_label(about),
                    str(about["dim"] or ""),
                    index_label(about["index"]),
                    *(format_median(found.get(c)) for c in columns),
                ]
            )
    return table(rows)


def _encoder_label(about: Result) -> str:
    """Return the name of the encoder, with a mark for back-projected vectors."""
    return str(about["encoder"]) + (f", {BACK_PROJECTED}" if about.get("lifted") else "")


def end_to_end(results: Results) -> str:
    """Return the latency of a query from its text to its hits, with encoding and search separately."""
    if "retrieval" not in results:
        return NOT_MEASURED
    made = results["retrieval"]
    columns = ("whole path p50", "encode p50", "search p50", "whole path p95", "whole path nDCG@10")  # stored
    rows = [["query encoder", "index", "documents", "p50 ms", "encoding p50 ms", "search p50 ms", "p95 ms", NDCG]]
    for one in made["measurements"]:
        if one.get("what") == "whole path p50":  # stored
            found = find_measurements(made, system=one["system"], n=one["n"])
            cells = [format_median(found.get(column)) for column in columns]
            rows.append([one["queries_encoder"], one["searched"], f"{one['n']:,}", *cells])
    return table(rows)


def ratios(results: Results) -> str:
    """Return the speed and memory of our indexes relative to the teacher's exact search, and the paper's ratio."""
    if "retrieval" not in results:
        return NOT_MEASURED
    made = results["retrieval"]
    rows = [["system", "documents", "ratio", "times", "range"]]
    for one in made["measurements"]:
        if one["unit"] == "x" and "system" in one:
            span = f"{number_text(one['min'])} to {number_text(one['max'])}" if len(one["values"]) > 1 else ""
            rows.append([one["system"], f"{one['n']:,}", dimension_label(one["what"]), format_median(one), span])
    return table(rows)


# ---- engines


ENGINE_COLUMNS = {
    "indexing": "indexing s",
    "indexing peak memory": "indexing peak MB",
    "on disk": "on disk MB",
    "cold query": "cold query s",
    "warm query p50": "warm p50 ms",
    "warm query p95": "warm p95 ms",
    "encode p50": "encoding p50 ms",
    "serving memory": "serving MB",
    NDCG: NDCG,
}


def engines(results: Results) -> str:
    """Return one row per program, and the lists of failures and notes."""
    if "engines" not in results:
        return NOT_MEASURED
    made = results["engines"]
    rows = [["program", *ENGINE_COLUMNS.values()]]
    for name in list_systems(made):
        found = find_measurements(made, system=name)
        rows.append([name, *(format_median(found.get(what)) for what in ENGINE_COLUMNS)])
    lists = [(FAILED, made.get("failed", {})), ("Notes", made.get("notes", {}))]
    return "\n\n".join([table(rows), *(_bullet_list(title, items) for title, items in lists if items)])


def _bullet_list(title: str, items: Mapping[str, str]) -> str:
    return "\n".join([f"{title}:", "", *(f"- {name}: {what}." for name, what in items.items())])


# ---- where hpdsearch loses


def losses(results: Results) -> str:
    """Return the list of measurements in which another system is better, and of missed targets."""
    lines = [*_engine_losses(results), *_encoding_losses(results), *_quality_losses(results)]
    missed = [(name, one) for name, made in results.items() for one in made["targets"] if not one["met"]]
    lines += [
        f"- Target missed ({name}): {one['name']}, {one['rule']} {number_text(one['limit'])} {one['unit']}: "
        f"{number_text(one['measured'])} {one['unit']}.".replace(" .", ".")
        for name, one in missed
    ]
    return "\n".join(lines) or "This run compared too little to show a loss."


def _engine_losses(results: Results) -> Iterable[str]:
    """Yield each column of the programs in which another program is better than hpdsearch's default."""
    if "engines" not in results:
        return
    made = results["engines"]
    names = list_systems(made)
    ours = next((name for name in names if name.startswith("hpdsearch")), None)
    others = [name for name in names if not name.startswith("hpdsearch")]
    for what, heading in ENGINE_COLUMNS.items():
        # A search mode of hpdsearch that scores higher than its default is also a loss.
        compared = names if what == NDCG else [*others, *([ours] if ours else [])]
        found = {name: find_measurements(made, system=name).get(what) for name in compared}
        there = {name: one["median"] for name, one in found.items() if one}
        if ours not in there or len(there) < 2:
            continue
        sign = -1 if what == NDCG else 1
        ahead = sorted(
            (n for n in there if n != ours and sign * there[n] < sign * there[ours]), key=lambda n: sign * there[n]
        )
        if ahead:
            listed = ", ".join(f"{name} {number_text(there[name])}" for name in ahead)
            yield f"- {heading}: {listed}; {ours} {number_text(there[ours])}."


def _encoding_losses(results: Results) -> Iterable[str]:
    """Yield the measurements in which another model encodes faster than the default encoder, on one core."""
    made = results.get("encoding", {"measurements": [], "settings": {}})
    own = {"base", "small", "static"}
    for what, sign in (("short texts", -1), ("passages", -1), ("single text", 1)):
        there = {
            name: find_measurements(made, system=name, threads=1).get(what) for name in list_systems(made, threads=1)
        }
        found = {name: one for name, one in there.items() if one}
        if base := found.get("base"):
            ahead = {
                n: one for n, one in found.items() if n not in own and sign * one["median"] < sign * base["median"]
            }
            if ahead:
                listed = ", ".join(f"{name} {number_text(one['median'])}" for name, one in ahead.items())
                yield f"- Encoding, {what}, one core, {base['unit']}: {listed}; base {number_text(base['median'])}."


def _quality_losses(results: Results) -> Iterable[str]:
    """Yield the significant differences between the default encoder and its teacher."""
    for row in results.get("quality", {"systems": []})["systems"]:
        for metric, less in row.get("less_teacher", {}).items():
            if row["system"] == "base" and row["dim"] in SHOWN_DIMS and less["high"] < 0:
                yield (
                    f"- {metric}, base at {row['dim']} dimensions against the teacher: {less['mean']:+.2f} points "
                    f"({less['low']:+.2f} to {less['high']:+.2f})."
                )


# ---- environment


def machine(results: Results) -> str:
    """Return the machines of the results, and the dates of the measurements."""
    days: dict[str, set[str]] = {}
    for made in results.values():
        days.setdefault(machine_text(made), set()).add(made["date"][:10])
    return "; ".join(f"{where}; {' and '.join(sorted(when))}" for where, when in days.items())


def environment(results: Results) -> str:
    """Return machine, versions, settings and date of each result."""
    lines = []
    for name in ("quality", "encoding", "retrieval", "engines", "pareto"):
        if name in results:
            made = results[name]
            settings = "; ".join(f"{key} {setting_text(value)}" for key, value in made["settings"].items())
            versions = ", ".join(f"{package} {version}" for package, version in made["versions"].items())
            load = " ".join(map(str, made["machine"].get("load_average_before", [])))
            lines.append(
                f"- **{name}**: {machine_text(made)}; load before {load or 'unknown'}; {made['date'][:10]}, commit "
                f"`{made['commit'] or 'unknown'}`. Settings: `{settings}`. Versions: `{versions}`."
            )
    return "\n".join(lines)


def targets(results: Results) -> str:
    """Return one table of the targets of all results."""
    return targets_of(list(results.values()))


TABLES: dict[str, Callable[[Results], str]] = {
    "summary": summary,
    "quality": quality,
    "parts": parts,
    "encoding": encoding,
    "retrieval": retrieval,
    "end to end": end_to_end,
    "ratios": ratios,
    "engines": engines,
    "losses": losses,
    "machine": machine,
    "environment": environment,
    "targets": targets,
}
