"""`hpdsearch watch` keeps an index up to date, in a process of its own and step by step."""

from pathlib import Path

import pytest
from watching import wait_until, watching

from hpdsearch import Index
from hpdsearch.cli.watch import keep_up_to_date
from hpdsearch.common.progress import SILENT
from hpdsearch.corpus import OnError, ReadOptions, read_corpus
from hpdsearch.corpus import read as reading
from hpdsearch.indexer.transaction import lock_folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("the tide")
    return tmp_path / "notes"


@pytest.fixture
def index(tmp_path: Path, corpus: Path, tiny_encoder):
    with Index.build(tmp_path / "i", read_corpus(corpus), encoder=tiny_encoder) as built:
        yield built


def run_steps(index: Index, corpus: Path, *steps) -> None:
    """Keep an index up to date while steps happen, each between two updates."""

    def happen():
        yield False  # the first update needs no change
        for step in steps:
            step()
            yield True
            yield False

    options = ReadOptions(on_error=OnError.SKIP)
    keep_up_to_date(index, lambda: read_corpus(corpus, options, check=False), happen(), SILENT)


def lines(text: str) -> list[str]:
    """Return lines without their times."""
    return [line.partition("  ")[2].partition(" (")[0] for line in text.splitlines()]


def test_each_change_is_one_line(index, corpus, capsys):
    run_steps(
        index,
        corpus,
        lambda: (corpus / "b.md").write_text("the moon"),
        lambda: (corpus / "a.md").write_text("the sun"),
        lambda: None,
        lambda: (corpus / "b.md").unlink(),
    )
    assert lines(capsys.readouterr().out) == [
        "1 indexed, 1 document unchanged",
        "1 indexed, 1 document unchanged",
        "1 deleted, 1 document unchanged",
    ]
    assert index.get("a.md").text == "the sun"


def test_what_cannot_be_read_is_named_once_and_does_not_stop_the_others(index, corpus, capsys):
    run_steps(
        index,
        corpus,
        lambda: (corpus / "bad.md").write_bytes(b"\xe9"),
        lambda: (corpus / "b.md").write_text("the moon"),
        lambda: (corpus / "bad.md").write_text("good"),
    )
    captured = capsys.readouterr()
    assert len([line for line in lines(captured.err) if line.startswith(f"skipped {corpus}/bad.md:1")]) == 1
    assert set(index.doc_ids('extension = "md"')) == {"a.md", "b.md", "bad.md"}


def test_a_file_that_vanishes_while_it_is_read_leads_to_the_next_update(index, corpus, monkeypatch, capsys):
    original = reading.read_source

    def vanish(source, *arguments):
        if source.name.endswith("b.md"):
            source.path.unlink()
        return original(source, *arguments)

    monkeypatch.setattr(reading, "read_source", vanish)
    run_steps(index, corpus, lambda: (corpus / "b.md").write_text("the moon"), lambda: None)
    captured = capsys.readouterr()
    assert "b.md: cannot be read: No such file" in captured.err
    assert len(index) == 1


def test_an_emptied_corpus_is_named_and_the_next_change_is_seen(index, corpus, capsys):
    run_steps(index, corpus, lambda: (corpus / "a.md").unlink(), lambda: (corpus / "b.md").write_text("the moon"))
    captured = capsys.readouterr()
    assert f"{corpus}: expected documents, got none" in captured.err
    assert lines(captured.out) == ["1 indexed, 1 deleted, 0 documents unchanged"]


def test_while_another_process_writes_the_update_is_tried_again(index, corpus, capsys):
    held = []

    def write() -> None:
        (corpus / "b.md").write_text("the moon")
        held.append(lock_folder(index.folder, 0))

    options = ReadOptions(on_error=OnError.SKIP)

    def happen():
        yield False
        write()
        yield True
        yield False
        held[0].release()
        yield False

    keep_up_to_date(index, lambda: read_corpus(corpus, options, check=False), happen(), SILENT)
    captured = capsys.readouterr()
    assert captured.err.count("is writing to this index; try again") == 1
    assert lines(captured.out) == ["1 indexed, 1 document unchanged"]


def has_documents(index: Index, n: int) -> bool:
    index.refresh()
    return len(index) == n


def test_a_process_watches_until_ctrl_c(index, corpus, tmp_path):
    pytest.importorskip("watchfiles")
    out = tmp_path / "out"
    with watching(index.folder, corpus, out):
        wait_until(lambda: "up to date, 1 document unchanged" in out.read_text())
        (corpus / "b.md").write_text("the moon")
        wait_until(lambda: has_documents(index, 2))
        assert index.get("b.md").text == "the moon"
        (corpus / "a.md").unlink()
        wait_until(lambda: has_documents(index, 1))
    printed = out.read_text().splitlines()
    assert printed[0] == f"{index.folder}: watching {corpus}; Ctrl-C ends it"
    assert printed[-1] == f"{index.folder}: stopped; it holds all changes that were reported"
    assert len(printed) == 5


def test_standard_input_cannot_be_watched(run, index):
    result = run("watch", index.folder, "-")
    assert result.exit_code == 1
    assert "-: expected a file or folder, which can be watched" in result.output
