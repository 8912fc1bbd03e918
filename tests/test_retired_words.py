"""A script finds the retired words (pyproject.toml) in the prose of the project."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_words", ROOT / "scripts" / "check_words.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_in(checker: ModuleType, path: Path, text: str) -> list[tuple[int, str]]:
    path.write_text(text, encoding="utf-8")
    retired = checker.read_retired_words(ROOT / "pyproject.toml")
    return [(finding.line, finding.found) for finding in checker.check_file(path, retired)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""Keep the state in force."""\n', (1, "in force")),
        ('def f():\n    """Return it.\n\n    A vector with 256\n    numbers.\n    """\n', (4, "256     numbers")),
        ("x = 1  # the rows are now put into\n# force by the commit\n", (1, "into  force")),
        ('raise OSError(f"{x}: rows are not in force")\n', (1, "in force")),
        ('print("the row " "sum differs")\n', (1, "row sum")),
        ('option(help="Choose a colour.")\n', (1, "colour")),
    ],
)
def test_retired_words_are_found_in_docstrings_comments_errors_and_help(checker, tmp_path, text, expected) -> None:
    assert expected in find_in(checker, tmp_path / "module.py", text)


def test_retired_words_are_found_in_pages_across_line_breaks(checker, tmp_path) -> None:
    page = "# Title\n\nThe segments in\nforce are listed.\n\n    $ command --help\n    its licence\n"
    assert find_in(checker, tmp_path / "page.md", page) == [(3, "in force"), (7, "licence")]


def test_names_inline_code_and_link_targets_are_not_checked(checker, tmp_path) -> None:
    page = "The old word was `in force`; see [the page](the%20licence.md) and ``waiting rows``.\n"
    assert find_in(checker, tmp_path / "page.md", page) == []
    module = 'KEYS = ("waiting", "kept", "promise", "sum")\n"""The old word was `in force`."""\n'
    assert find_in(checker, tmp_path / "module.py", module) == []


def test_the_script_exits_with_1_when_it_finds_a_word(checker, tmp_path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("The licence.\n", encoding="utf-8")
    assert checker.main([str(page)]) == 1
    assert "page.md:1: found 'licence'; write: license" in capsys.readouterr().out
    assert checker.main(["--warn", str(page)]) == 0


def test_the_project_has_no_retired_words(checker) -> None:
    retired = checker.read_retired_words(ROOT / "pyproject.toml")
    findings = [str(finding) for path in checker.list_files([]) for finding in checker.check_file(path, retired)]
    assert findings == [], "run python scripts/check_words.py"
