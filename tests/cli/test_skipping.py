"""`--on-error` and `--encoding` of the commands that read a corpus."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hpdsearch import Index
from hpdsearch.cli.corpus import SHOWN_REASONS

Run = Callable[..., Result]


@pytest.fixture
def index(run: Run, tiny_folder: Path) -> Run:
    """Return a function that indexes into the folder `out`."""
    return lambda *arguments, **others: run("index", *arguments, "-o", "out", "--encoder", tiny_folder, **others)


def find_texts() -> set[str]:
    with Index.open("out") as opened:
        assert opened.verify() == []
        return {hit.text for hit in opened.search("text", 1000, mode="dense")}


def write_notes() -> None:
    Path("notes").mkdir()
    for number in range(30):
        Path(f"notes/{number:02}.md").write_text(f"text {number}")
    Path("notes/07.md").write_bytes("text Möwe".encode("latin-1"))


def test_one_bad_note_stops_before_the_encoder_is_loaded(run: Run) -> None:
    write_notes()
    result = run("index", "notes", "--encoder", "no such encoder")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: notes/07.md:1: expected UTF-8, got the byte 0xf6 at offset 6 of the file;")
    assert result.stderr.endswith("name its encoding (--encoding latin-1), or leave it out (--on-error skip)\n")


def test_skip_leaves_out_one_bad_note_and_names_it_on_stderr(index: Run) -> None:
    write_notes()
    result = index("notes", "--on-error", "skip")
    assert result.exit_code == 0, result.output
    assert find_texts() == {f"text {number}" for number in range(30) if number != 7}
    assert "1 records and files skipped because of errors" in result.stdout
    assert result.stderr.startswith(
        "skipped:    1 (--on-error skip)\n  notes/07.md:1: expected UTF-8, got the byte 0xf6"
    )
    assert result.stderr.count("\n") == 2


def test_a_named_encoding_reads_the_note(index: Run) -> None:
    write_notes()
    result = index("notes", "--encoding", "latin-1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "text Möwe" in find_texts()


def test_documents_that_cannot_be_stored_are_named_too(index: Run) -> None:
    deep = "[" * 900 + "]" * 900
    Path("a.jsonl").write_text(
        f'{{"id": "a", "text": "one"}}\n{{"id": "b", "text": "x", "m": {deep}}}\n{{"id": "a", "text": "y"}}\nno JSON\n'
    )
    result = index("a.jsonl", "--on-error", "skip")
    assert result.exit_code == 0, result.output
    assert find_texts() == {"one"}
    assert "3 records and files skipped because of errors" in result.stdout
    for line, reason in ((2, "nested"), (3, "doc_id 'a' came before"), (4, "expected a JSON object")):
        assert any(f"a.jsonl:{line}: " in shown and reason in shown for shown in result.stderr.splitlines()), reason


def test_the_reasons_are_bounded_and_counted(index: Run) -> None:
    Path("a.txt").write_bytes(b"one\n" + b"\xff\n" * 50)
    result = index("a.txt", "--on-error", "skip")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0] == "skipped:    50 (--on-error skip)"
    assert len(lines) == SHOWN_REASONS + 2
    assert lines[-1] == f"  ... and {50 - SHOWN_REASONS} more"


def test_a_corpus_of_which_all_is_skipped_fails_and_names_it(index: Run) -> None:
    Path("a.txt").write_bytes(b"\xff\n")
    result = index("a.txt", "--on-error", "skip")
    assert result.exit_code == 1
    assert result.stderr.startswith("skipped:    1 (--on-error skip)\n  a.txt:1: expected UTF-8")
    assert "Error: a.txt: expected documents, got only what cannot be read (1 skipped)" in result.stderr
    assert not Path("out").exists()


def test_add_and_update_skip_too_and_delete_nothing_that_was_skipped(index: Run, run: Run) -> None:
    write_notes()
    assert index("notes", "--encoding", "latin-1").exit_code == 0
    before = find_texts()
    Path("notes/08.md").unlink()
    Path("more.txt").write_bytes(b"text more\n\xff\n")
    added = run("add", "out", "more.txt", "--on-error", "skip")
    assert (added.exit_code, "more.txt:2: expected UTF-8" in added.stderr) == (0, True)
    updated = run("index", "notes", "more.txt", "nowhere.txt", "-o", "out", "--update", "--on-error", "skip")
    assert updated.exit_code == 0, updated.output
    assert updated.stderr.startswith("skipped:    3 (--on-error skip)\n")
    assert find_texts() == before - {"text 8"} | {"text more"}
    again = run("index", "notes", "-o", "out", "--update", "--on-error", "skip")
    assert "up to date" in again.stdout
    assert "notes/07.md:1" in again.stderr


@pytest.mark.parametrize("command", ["index a.txt", "add x a.txt", "encode a.txt", "distill a.txt -o x"])
@pytest.mark.parametrize("name", ["no", "base64", "", "utf-99"])
def test_an_unknown_encoding_is_a_usage_error(run: Run, command: str, name: str) -> None:
    Path("a.txt").write_text("one")
    result = run(*command.split(), "--encoding", name)
    assert (result.exit_code, "Invalid value for '--encoding': expected an encoding" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["index", "encode"])
def test_strict_and_skip_are_a_usage_error(run: Run, command: str) -> None:
    Path("a.txt").write_text("one")
    result = run(command, "a.txt", "--strict", "--on-error", "skip", *(["--ids", "x"] if command == "encode" else []))
    assert (result.exit_code, "--strict and --on-error skip contradict each other" in result.stderr) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le"])
def test_standard_input_is_decoded_by_its_mark(index: Run, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    result = index("-", input=f"{mark}Möwe\nsecond\n".encode(encoding))
    assert result.exit_code == 0, result.output
    assert find_texts() == {"Möwe", "second"}
