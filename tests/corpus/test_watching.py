"""Changes of files that a corpus reads are told, others are not."""

import threading
import time
from pathlib import Path

import pytest

from hpdsearch.corpus.patterns import PathFilter
from hpdsearch.corpus.watching import CorpusChanges
from hpdsearch.errors import CorpusError

pytest.importorskip("watchfiles")
LONG = 60  # seconds; a notification takes one


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "c" / "sub").mkdir(parents=True)
    return tmp_path / "c"


def make_changes(corpus: Path, *paths: Path, **patterns) -> CorpusChanges:
    chosen = PathFilter(patterns.get("include", ()), patterns.get("exclude", ()))
    return CorpusChanges([str(path) for path in paths or (corpus,)], chosen, corpus / "index")


@pytest.mark.parametrize(
    ("inside", "is_deleted", "expected"),
    [
        ("a.md", False, True),
        ("sub/a.pdf", False, True),
        ("sub", False, True),  # a folder that came
        ("gone", True, True),  # it may have been a folder
        ("a.log", False, False),
        (".hidden.md", False, False),
        (".git/a.md", True, False),
        ("index/catalog.sqlite", False, False),
        ("index/a.md", False, False),
        ("node_modules/a.md", False, False),
        ("left.md", False, False),
        ("../other/a.md", False, False),
    ],
)
def test_only_files_that_the_corpus_reads_are_relevant(corpus, inside, is_deleted, expected):
    changes = make_changes(corpus, exclude=("node_modules/", "left.md"))
    path = str((corpus / inside).resolve())
    assert changes.is_relevant(path, is_deleted=is_deleted) is expected


def test_of_the_folder_of_a_named_file_only_that_file_is_relevant(corpus):
    (corpus / "a.jsonl").write_text("{}")
    changes = make_changes(corpus, corpus / "a.jsonl")
    assert changes.is_relevant(str(corpus / "a.jsonl"), is_deleted=False)
    assert not changes.is_relevant(str(corpus / "b.md"), is_deleted=False)


def test_what_is_no_file_is_refused(corpus):
    for path in ("-", str(corpus / "missing")):
        with pytest.raises(CorpusError, match="expected a file or folder, which can be watched"):
            CorpusChanges([path], PathFilter((), ()), corpus)


def wait_for_change(waiting) -> bool:
    end = time.monotonic() + LONG
    return any(has_changed or time.monotonic() > end for has_changed in waiting) and time.monotonic() < end


def test_changes_in_folders_and_replaced_files_are_told(corpus, tmp_path):
    alone = tmp_path / "alone.txt"
    alone.write_text("one")
    waiting = make_changes(corpus, corpus, alone).wait()
    next(waiting)  # from now on nothing is missed
    threading.Timer(0.2, lambda: (corpus / "sub" / "a.md").write_text("new")).start()
    assert wait_for_change(waiting)
    (tmp_path / "new.txt").write_text("two")
    (tmp_path / "new.txt").replace(alone)
    assert wait_for_change(waiting)
    waiting.close()
