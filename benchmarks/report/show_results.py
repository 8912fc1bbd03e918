"""Print result files as Markdown: targets first, then every measurement.

python -m benchmarks.report.show_results                       # all of benchmarks/results/
python -m benchmarks.report.show_results benchmarks/results/startup.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.results import FORMAT, RESULTS, Result, markdown_table, measurement_rows, target_rows

MAX_LISTED = 10  # files named one by one


def main() -> None:
    """Read the options and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="result files; default: all of benchmarks/results/")
    parser.add_argument("--targets", action="store_true", help="print only the targets")
    options = parser.parse_args()
    paths = options.results or sorted(RESULTS.glob("*.json"))
    if not paths:
        raise SystemExit(f"{RESULTS}: expected result files (*.json), got none; run a benchmark first")
    results = [read_result(path) for path in paths]
    print("\n\n".join([targets(results), *([] if options.targets else map(section, results))]))


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        SystemExit: the file has another format.
    """
    made: Result = json.loads(path.read_text(encoding="utf-8"))
    if made.get("format") != FORMAT:
        raise SystemExit(f"{path}: expected format {FORMAT}, got {made.get('format')}; run the benchmark again")
    return made


def targets(results: Sequence[Result]) -> str:
    """Return one table with the targets of all results."""
    rows = [["benchmark", *target_rows(results[0])[0]]]
    rows += [[made["benchmark"], *row] for made in results for row in target_rows(made)[1:]]
    return markdown_table(rows)


def section(made: Result) -> str:
    """Return the measurements and the environment of one result under a heading."""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    settings = ", ".join(f"{name} {setting_text(value)}" for name, value in made["settings"].items())
    lines = [
        f"### {made['benchmark']}",
        markdown_table(measurement_rows(made)),
        f"{machine_text(made)}; {made['date'][:10]}, commit {made['commit'] or 'unknown'}. Settings: {settings}. "
        f"Versions: {versions}.",
    ]
    return "\n\n".join(lines)


def machine_text(made: Result) -> str:
    """Return a short description of the machine."""
    machine = made["machine"]
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    parts = [
        machine["processor"],
        f"{machine['cores']} cores",
        memory,
        machine["system"],
        f"Python {machine['python']}",
    ]
    return ", ".join(parts)


def setting_text(value: object) -> str:
    """Format a setting: a file by its name, many files by their number, a checksum by its first digits."""
    if isinstance(value, list) and len(value) > MAX_LISTED and all(isinstance(one, dict) for one in value):
        return f"{len(value)} files"
    if isinstance(value, list):
        return "; ".join(map(setting_text, value))
    if isinstance(value, dict):
        return str(value.get("name", value))
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[:19]
    return str(value)


if __name__ == "__main__":
    main()
