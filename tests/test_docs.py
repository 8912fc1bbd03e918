"""The pages of docs/ name files that exist, their commands and Python run, and the site builds without broken links."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import click
import pytest
from documented import named_options, run_page

from hpdsearch.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_every_file_named_by_the_architecture_page_exists() -> None:
    named = re.findall(r"`([\w/]+\.py|[\w/]+/)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    missing = [name for name in named if name != "hpdsearch/" and not (ROOT / "hpdsearch" / name).exists()]
    assert missing == []


def test_the_architecture_page_lists_every_folder() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| \d \| `(\w+)/`", page, re.MULTILINE))
    folders = {path.parent.name for path in (ROOT / "hpdsearch").glob("*/__init__.py")}
    assert listed == folders


def test_decisions_are_numbered_listed_and_have_the_same_parts() -> None:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        title = re.match(r"# (\d+)\. (.+)\n", text)
        assert title, page
        assert f"{title[1]}. [{title[2]}]({page.name})" in index
        parts = re.findall(r"^## (.+)", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Measurement", "Consequences"], page


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")
def test_the_commands_and_the_python_of_the_tutorial_run_and_print_what_it_shows(tmp_path) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "wordnet.jsonl.gz", tmp_path / "examples")
    run_page((DOCS / "tutorial.md").read_text(encoding="utf-8"), tmp_path)


def test_the_benchmarks_page_names_the_benchmarks_and_modules_that_exist() -> None:
    from benchmarks.__main__ import NAMES

    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(NAMES)
    for module in re.findall(r"python -m (benchmarks[.\w]*)", page):
        assert importlib.util.find_spec(module), module
    assert all((ROOT / folder).is_dir() for folder in re.findall(r"`(benchmarks/\w+/)`", page))


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_the_commands_and_options_that_a_page_names_exist(page) -> None:
    for words, option in named_options(page.read_text(encoding="utf-8")):
        command = main.get_command(None, words[0])
        assert command is not None, f"hpdsearch {words[0]}"
        if isinstance(command, click.Group) and words[-1].isalpha() and words[1:]:
            command = command.get_command(None, words[1])
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert not option or option in known, f"hpdsearch {' '.join(words)} has no {option}"


REMOTE = r"""(?:https?:)?//"""
LOADED = re.compile(
    rf"""<(?:script|img|iframe)\b[^>]*\ssrc=["']?{REMOTE}"""
    rf"""|<link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)\b[^>]*\bhref=["']?{REMOTE}"""
)


@pytest.mark.slow
def test_the_site_builds_in_strict_mode_and_loads_nothing_from_a_network(tmp_path, monkeypatch) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    monkeypatch.chdir(ROOT)
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    except Abort as error:
        pytest.fail(f"run make docs: {error}")
    assert "Index.search" in (tmp_path / "api.html").read_text(encoding="utf-8")
    for page in tmp_path.rglob("*.html"):
        assert not LOADED.search(page.read_text(encoding="utf-8")), page
