from pathlib import Path

import pytest

from hpdsearch.corpus import ReadOptions, ReadStats, read_corpus
from hpdsearch.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.md", "b.txt", "docs/c.md", "docs/d.txt", "node_modules/e.md", "docs/node_modules/f.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    return tmp_path


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), ("node_modules/",), ["a.md", "b.txt", "docs/c.md", "docs/d.txt"]),
        ((), ("/node_modules/",), ["a.md", "b.txt", "docs/c.md", "docs/d.txt", "docs/node_modules/f.md"]),
        (("*.md",), ("node_modules/",), ["a.md", "docs/c.md"]),
        (("docs/**",), ("*.md",), ["docs/d.txt"]),
        (("*.md", "b.*"), ("node_modules/", "docs/*.md"), ["a.md", "b.txt"]),
        ((), ("*.md", "!c.md"), ["b.txt", "docs/c.md", "docs/d.txt"]),
        ((), ("docs/", "!docs/c.md"), ["a.md", "b.txt", "node_modules/e.md"]),
    ],
)
def test_patterns_choose_as_those_of_gitignore(folder, include, exclude, expected):
    documents = read_corpus(folder, ReadOptions(include=include, exclude=exclude))
    assert sorted(d.doc_id for d in documents) == expected


def test_what_is_left_out_is_counted(folder):
    stats = ReadStats()
    list(read_corpus(folder, ReadOptions(exclude=("node_modules/", "a.md")), stats=stats))
    assert stats.n_excluded == 3


def test_files_that_are_named_are_read(folder):
    (document,) = read_corpus(folder / "a.md", ReadOptions(exclude=("*.md",)))
    assert document.text == "text"


@pytest.mark.parametrize("pattern", ["", "# comment", "!"])
def test_a_wrong_pattern_is_refused(pattern):
    with pytest.raises(CorpusError, match=r"--exclude: expected a pattern as in \.gitignore"):
        ReadOptions(exclude=(pattern,))


def test_loops_of_links_are_counted(folder):
    (folder / "docs" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "loop.md").symlink_to(folder / "loop.md")
    stats = ReadStats()
    documents = list(read_corpus(folder, stats=stats))
    assert len(documents) == 6
    assert stats.n_links == 2
    assert stats.loops == [f"{folder}/loop.md", f"{folder}/docs/up"]
