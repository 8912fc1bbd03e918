"""Find retired words and British spelling in the project's prose. `make lint` runs it.

The list is `[tool.hpdsearch.retired_words]` in pyproject.toml: a regular expression, and the words to write instead.
A space in a pattern matches any white space, so that a phrase is found across a line break. Case does not count.

Markdown pages are checked outside `inline code` and link targets. In Python files comments and strings with a space in
them are checked, so docstrings, help and errors are, and names and keys are not. The comment `# stored` exempts a line
whose string stands in existing files.

    python scripts/check_words.py                 # exit code 1 if anything is found
    python scripts/check_words.py --warn docs     # print only; only these files or folders
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CHECKED = ("*.md", "docs", "examples", "hpdsearch", "benchmarks", "scripts", "indexes/README.md", "tests/README.md")
INLINE_CODE = re.compile(r"``[^`]+``|`[^`\n]+`")
FENCE = re.compile(r"^\s*```", re.MULTILINE)
STORED = re.compile(r"# stored\b")
LINK_TARGET = re.compile(r"\]\([^)\s]*\)")


class Prose(NamedTuple):
    """A piece of text and the line on which it begins."""

    line: int
    text: str


class Finding(NamedTuple):
    """A retired word in a file."""

    path: Path
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: found {self.found!r}; write: {self.instead}"


def main(arguments: list[str] | None = None) -> int:
    """Print the findings and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: all checked ones")
    parser.add_argument("--warn", action="store_true", help="exit with 0 in any case")
    options = parser.parse_args(arguments)
    retired = read_retired_words(ROOT / "pyproject.toml")
    findings = [finding for path in list_files(options.paths) for finding in check_file(path, retired)]
    for finding in findings:
        print(finding)
    return 1 if findings and not options.warn else 0


def read_retired_words(pyproject: Path) -> dict[re.Pattern[str], str]:
    """Return the compiled patterns and the words to write instead."""
    table = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["hpdsearch"]["retired_words"]
    return {re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE): instead for pattern, instead in table.items()}


def list_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Markdown and Python files below some paths, or all files that are checked."""
    starts = list(paths) or [found for pattern in CHECKED for found in sorted(ROOT.glob(pattern))]
    for start in starts:
        inside = sorted(start.rglob("*")) if start.is_dir() else [start]
        yield from (path for path in inside if path.suffix in {".md", ".py"})


def check_file(path: Path, retired: dict[re.Pattern[str], str]) -> list[Finding]:
    """Return the findings of one file, in the order of their lines."""
    text = path.read_text(encoding="utf-8")
    pieces = python_prose(text) if path.suffix == ".py" else markdown_prose(text)
    lines = text.splitlines()
    found = {
        Finding(path, piece.line + piece.text.count("\n", 0, match.start()), match[0].replace("\n", " "), instead)
        for piece in pieces
        for pattern, instead in retired.items()
        for match in pattern.finditer(piece.text)
    }
    return sorted(finding for finding in found if not STORED.search(lines[finding.line - 1]))


def markdown_prose(text: str) -> Iterator[Prose]:
    """Yield a page without its inline code and link targets; lines keep their numbers."""
    text = FENCE.sub("", text)
    yield Prose(1, LINK_TARGET.sub("]", INLINE_CODE.sub("CODE", text)))


def python_prose(text: str) -> Iterator[Prose]:
    """Yield the strings that hold a space, and the comments, neighboring comment lines together."""
    yield from (Prose(line, INLINE_CODE.sub("CODE", part)) for line, part in _strings(text) if " " in part.strip())
    comments: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if comments and line != comments[-1][0] + 1:
            yield _join_comments(comments)
            comments = []
        comments.append((line, token.string.lstrip("#")))
    if comments:
        yield _join_comments(comments)


def _join_comments(comments: list[tuple[int, str]]) -> Prose:
    return Prose(comments[0][0], INLINE_CODE.sub("CODE", "\n".join(text for _, text in comments)))


def _strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of each string; an f-string as one, with its expressions left out."""
    tree = ast.parse(text)
    inside_f_strings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            inside_f_strings.update(map(id, parts))
            values = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, values))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside_f_strings:
            yield node.lineno, node.value


if __name__ == "__main__":
    sys.exit(main())
