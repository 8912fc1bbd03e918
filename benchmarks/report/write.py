"""Result files -> REPORT.md and the links to its pictures.

    python -m benchmarks.report.write

REPORT.template.md holds the text; `{{NAME}}` stands for a table or a paragraph of `tables`. The text holds no number,
so every number on the page is generated from a result file. A test compares REPORT.md with the result files.
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
PLACE = re.compile(r"\{\{(.+?)\}\}")
# A number by itself; digits inside a name (f32, nDCG@10, all-MiniLM-L6-v2) are part of the name.
NUMBER = re.compile(r"(?<![\w@.,-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w@-]|\.\d)")
NOT_SAID = re.compile(r"`[^`]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)  # code, comments, links


def main() -> None:
    """Read the options and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    parser.add_argument("--page", type=Path, default=BENCHMARKS / "REPORT.md")
    options = parser.parse_args()
    print(write_report(options.results, options.page))


def write_report(results: Path, page: Path, template: Path = TEMPLATE) -> Path:
    """Write the page of the results in a folder, and their picture, and return the page's path."""
    made = read_results(results)
    if "quality" in made:
        plot_quality(made["quality"], results / "quality.svg")
    words = link_pictures(template.read_text(encoding="utf-8"), results, page)
    page.write_text(fill_template(words, made), encoding="utf-8")
    return page


def link_pictures(template: str, results: Path, page: Path) -> str:
    """Return the words with each picture's link as it is from the page; without those that were not drawn."""

    def link(match: re.Match[str]) -> str:
        picture = results / match[2]
        where = os.path.relpath(picture, page.parent)
        return f"![{match[1]}]({Path(where).as_posix()})" if picture.exists() else "*(not drawn in this run)*"

    return PICTURE.sub(link, template)


def read_results(folder: Path) -> Results:
    """Return the results of a folder by the names of their files.

    Raises:
        SystemExit: there are none.
    """
    found = {path.stem: read_result(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise SystemExit(f"{folder}: expected result files (*.json), got none; run a benchmark first")
    return found


def fill_template(template: str, results: Results) -> str:
    """Return the page.

    Raises:
        SystemExit: the words hold a number, name something unknown, or the page has a number that no result holds.
    """
    require_no_numbers(template)
    page = PLACE.sub(lambda match: _make_table(match[1].strip(), results), template)
    return page


def require_no_numbers(template: str) -> None:
    """Refuse words that hold a number.

    Raises:
        SystemExit: they do; the message names the line.
    """
    for number, line in enumerate(template.splitlines(), 1):
        if found := NUMBER.search(NOT_SAID.sub("", PLACE.sub("", line))):
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
