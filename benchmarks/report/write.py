"""Write REPORT.md from the result files, with links to its pictures.

    python -m benchmarks.report.write

REPORT.template.md contains the text; `{{NAME}}` is replaced by a table or paragraph of `tables`. The text has no
numbers, so every number of the report is from a result file. A test compares REPORT.md with the result files.
"""

import argparse
import os
import re
from pathlib import Path

from benchmarks.common.harness import BENCHMARKS
from benchmarks.common.results import RESULTS
from benchmarks.quality.plot import plot_quality
from benchmarks.report.show_results import read_result
from benchmarks.report.tables import TABLES, Results

TEMPLATE = BENCHMARKS / "REPORT.template.md"
PICTURE = re.compile(r"!\[([^\]]*)\]\(results/([^)]*)\)")
PLACEHOLDER = re.compile(r"\{\{(.+?)\}\}")
# A separate number; digits inside a name (f32, nDCG@10, all-MiniLM-L6-v2) are part of the name.
NUMBER = re.compile(r"(?<![\w@.,-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w@-]|\.\d)")
NOT_PROSE = re.compile(r"`[^`]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)  # code, comments, links


def main() -> None:
    """Read the options and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--page", type=Path, default=BENCHMARKS / "REPORT.md", help="output page")
    options = parser.parse_args()
    print(write_report(options.results, options.page))


def write_report(results: Path, page: Path, template: Path = TEMPLATE) -> Path:
    """Write the report of a folder of results and draw quality.svg; return the path of the report."""
    made = read_results(results)
    if "quality" in made:
        plot_quality(made["quality"], results / "quality.svg")
    text = link_pictures(template.read_text(encoding="utf-8"), results, page)
    page.write_text(fill_template(text, made), encoding="utf-8")
    return page


def link_pictures(template: str, results: Path, page: Path) -> str:
    """Make the links of pictures relative to the page, and replace links of missing pictures by a note."""

    def link(match: re.Match[str]) -> str:
        picture = results / match[2]
        where = os.path.relpath(picture, page.parent)
        return f"![{match[1]}]({Path(where).as_posix()})" if picture.exists() else "*(not drawn in this run)*"

    return PICTURE.sub(link, template)


def read_results(folder: Path) -> Results:
    """Return the results of a folder by the names of their files.

    Raises:
        SystemExit: the folder has no results.
    """
    found = {path.stem: read_result(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise SystemExit(f"{folder}: expected result files (*.json), got none; run a benchmark first")
    return found


def fill_template(template: str, results: Results) -> str:
    """Replace the placeholders and return the page.

    Raises:
        SystemExit: the template contains a number or an unknown placeholder.
    """
    require_no_numbers(template)
    return PLACEHOLDER.sub(lambda match: _make_table(match[1].strip(), results), template)


def require_no_numbers(template: str) -> None:
    """Check that the template contains no number.

    Raises:
        SystemExit: it contains one; the message has the line.
    """
    for number, line in enumerate(template.splitlines(), 1):
        if found := NUMBER.search(NOT_PROSE.sub("", PLACEHOLDER.sub("", line))):
            raise SystemExit(
                f"{TEMPLATE.name}:{number}: expected numbers from result files only, got {found[0]!r}; "
                "generate it in benchmarks/report/tables.py"
            )


def _make_table(name: str, results: Results) -> str:
    if name not in TABLES:
        raise SystemExit(f"{{{{{name}}}}}: expected one of {', '.join(TABLES)}")
    return TABLES[name](results)


if __name__ == "__main__":
    main()
