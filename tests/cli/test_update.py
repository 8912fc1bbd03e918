"""`index --update`: the index holds what the corpus holds now, and nothing else is deleted or brought back."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpdsearch import Index

Command = Callable[..., str]


@pytest.fixture
def command(run, tiny_folder) -> Iterator[Command]:
    """Run a command on the index `f` that must succeed, and return what it prints."""

    def call(*arguments: object, input: str | None = None) -> str:
        made = ("--encoder", tiny_folder) if arguments[0] == "index" and "--update" not in arguments else ()
        to = ("-o", "f") if arguments[0] == "index" else ("-i", "f")
        result = run(*arguments, *to, *made, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def records(path: str, **texts: str) -> str:
    return write(path, "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))


def contents(folder: str = "f") -> dict[str, str]:
    with Index.open(folder) as index:
        assert index.verify() == []
        return {hit.doc_id: hit.text for hit in index.search("text", 1000, mode="dense")}


# ---- what add replaced


def test_update_keeps_what_add_corrected(command):
    records("words.jsonl", a="old text", b="text")
    records("more.jsonl", a="corrected text")
    command("index", "words.jsonl")
    assert "1 documents replaced; 1 of these came from other sources" in command("add", "more.jsonl")
    expected = {"a": "corrected text", "b": "text"}
    shown = command("index", "words.jsonl", "--update")
    assert "up to date, 1 unchanged document" in shown
    assert "1 documents left as another source has replaced them" in shown
    assert contents() == expected
    Path("more.jsonl").unlink()  # the correction does not depend on its file
    command("index", "words.jsonl", "--update")
    records("words.jsonl", a="another text", b="text")
    command("index", "words.jsonl", "--update")
    assert contents() == expected
    command("add", "words.jsonl")
    assert contents() == {"a": "another text", "b": "text"}


def test_a_correction_that_its_own_file_withdraws_gives_way_to_the_original(command):
    records("words.jsonl", a="old text", b="text")
    records("more.jsonl", a="corrected text", c="third text")
    command("index", "words.jsonl")
    command("add", "more.jsonl")
    records("more.jsonl", c="third text")
    command("index", "more.jsonl", "--update")
    assert contents() == {"b": "text", "c": "third text"}
    command("index", "words.jsonl", "--update")
    assert contents() == {"a": "old text", "b": "text", "c": "third text"}


def test_update_with_a_file_and_its_correction_holds_the_correction(command):
    records("words.jsonl", a="old text", b="text")
    records("more.jsonl", a="corrected text")
    command("index", "words.jsonl")
    command("add", "more.jsonl")
    for order in (("words.jsonl", "more.jsonl"), ("more.jsonl", "words.jsonl")):
        command("index", *order, "--update")
        assert contents() == {"a": "corrected text", "b": "text"}


def test_a_record_that_corrects_a_page_is_kept(command):
    write("notes/a.md", "old text"), write("notes/b.md", "text")
    records("more.jsonl", **{"a.md": "corrected text"})
    command("index", "notes")
    command("add", "more.jsonl")
    command("index", "notes", "--update")
    write("notes/a.md", "new text")
    command("index", "notes", "--update")
    assert contents() == {"a.md": "corrected text", "b.md": "text"}


# ---- what delete removed


@pytest.mark.parametrize("kind", ["records", "lines", "pages", "stream"])
def test_a_deleted_document_stays_deleted_until_its_source_changes(command, kind):
    def make(second: str) -> None:
        records("in.jsonl", a="text", b=second)
        write("in.txt", f"text\n{second}\n")
        write("in/a.md", "text"), write("in/b.md", second)

    corpus, doc_id = {
        "records": ("in.jsonl", "b"),
        "lines": ("in.txt", "in.txt:2"),
        "pages": ("in", "b.md"),
        "stream": ("-", "stdin:2"),
    }[kind]

    def give(verb: str, second: str, *options: str) -> str:
        make(second)
        return command(verb, corpus, *options, input=f"text\n{second}\n" if kind == "stream" else None)

    give("index", "second text")
    before = contents()
    command("delete", doc_id)
    shown = give("index", "second text", "--update")
    assert "1 documents deleted earlier, not brought back" in shown
    assert contents() == {key: text for key, text in before.items() if key != doc_id}
    give("index", "changed text", "--update")
    assert contents() == before | {doc_id: "changed text"}
    assert "deleted earlier" not in give("index", "second text", "--update")
    assert contents() == before


@pytest.mark.parametrize("again", ["add", "overwrite"])
def test_add_and_overwrite_bring_back_what_was_deleted(command, again):
    records("in.jsonl", a="text", b="second text")
    command("index", "in.jsonl")
    command("delete", "b")
    if again == "add":
        command("add", "in.jsonl")
    else:
        command("index", "in.jsonl", "--overwrite")
    assert contents() == {"a": "text", "b": "second text"}
    assert "up to date, 2 unchanged documents\n" in command("index", "in.jsonl", "--update")


def test_a_corrected_document_that_is_deleted_stays_deleted(command):
    records("words.jsonl", a="old text", b="text")
    records("more.jsonl", a="corrected text")
    command("index", "words.jsonl")
    command("add", "more.jsonl")
    command("delete", "a")
    records("more.jsonl", a="corrected text", c="third text")
    command("index", "words.jsonl", "more.jsonl", "--update")
    assert contents() == {"b": "text", "c": "third text"}


def test_a_deleted_page_whose_name_another_folder_took_stays_deleted(command):
    write("a/README.md", "text"), write("a/x.md", "x text"), write("b/README.md", "b text")
    command("index", "a")
    command("delete", "README.md")
    command("add", "b")
    assert "1 documents deleted earlier" in command("index", "a", "--update")
    assert contents() == {"README.md": "b text", "x.md": "x text"}
    write("a/README.md", "new text")
    command("index", "a", "--update")
    assert contents() == {"README.md": "b text", "x.md": "x text", "a/README.md": "new text"}


# ---- what is gone


def test_a_file_of_records_that_was_removed_after_add_is_kept(command):
    records("words.jsonl", a="text"), records("more.jsonl", b="second text"), records("third.jsonl", c="third text")
    command("index", "words.jsonl")
    command("add", "more.jsonl", "third.jsonl")
    Path("more.jsonl").unlink()
    command("index", "words.jsonl", "--update")
    assert contents() == {"a": "text", "b": "second text", "c": "third text"}
    command("index", "words.jsonl", "third.jsonl", "--update")  # as *.jsonl names them
    assert contents() == {"a": "text", "c": "third text"}


def test_a_file_removed_from_a_shell_glob_is_deleted(command):
    for name in "xyz":
        write(f"notes/{name}.md", f"text {name}")
    write("notes/deep/w.md", "deep text"), write("notes/t.txt", "line text\n")
    command("index", *sorted(map(str, Path("notes").rglob("*.*"))))
    Path("notes/x.md").unlink()
    Path("notes/t.txt").unlink()
    shutil.rmtree("notes/deep")
    assert "1 documents deleted, no longer in their files" in command(
        "index", *sorted(map(str, Path("notes").glob("*.md"))), "--update"
    )
    # Another folder and another ending are not what *.md names.
    expected = {"notes/y.md", "notes/z.md", "notes/deep/w.md", "notes/t.txt:1"}
    assert contents().keys() == expected
    shutil.rmtree("notes")
    write("other/v.md", "other text")
    command("index", "other/v.md", "--update")
    assert contents().keys() == expected | {"other/v.md"}


def test_a_removed_subfolder_is_deleted(command):
    write("notes/a.md", "text"), write("notes/deep/b.md", "deep text")
    command("index", "notes")
    shutil.rmtree("notes/deep")
    command("index", "notes", "--update")
    assert contents() == {"a.md": "text"}


@pytest.mark.parametrize(
    ("named", "beside"),
    [("a", "ab"), ("n_1", "nx1"), ("n%", "n1"), ("n[1]", "n1"), ("a", "a:1"), ("n*", "nn"), ("n'", "n")],
)
def test_folders_with_similar_names_are_left_alone(command, named, beside):
    for folder in (named, beside):
        write(f"{folder}/{folder}.md", f"{folder} text"), write(f"{folder}/keep.md", f"{folder} kept text")
    command("index", named, beside)
    for folder in (named, beside):
        Path(f"{folder}/{folder}.md").unlink()
    command("index", named, "--update")
    assert f"{beside} text" in contents().values()
    assert f"{named} text" not in contents().values()


@pytest.mark.parametrize("beside", ["c.txt.txt", "c.txt:1.txt", "cc.txt", "_.txt", "%.txt"])
def test_files_with_similar_names_are_left_alone(command, beside):
    write("c.txt", "text\nsecond text\n"), write(beside, "first beside\nsecond beside\n")
    command("index", "c.txt", beside)
    write("c.txt", "text\n"), write(beside, "first beside\n")
    command("index", "c.txt", "--update")
    assert sorted(contents().values()) == ["first beside", "second beside", "text"]


def test_files_that_a_folder_does_not_read_are_left_alone(command):
    write("notes/a.md", "text"), write("notes/.hidden.md", "hidden text")
    records("notes/c.jsonl", r="record text")
    command("index", "notes", "notes/.hidden.md", "notes/c.jsonl")
    expected = contents()
    assert len(expected) == 3
    assert "up to date" in command("index", "notes", "--update")
    assert contents() == expected


def test_two_roots_with_one_folder_hold_each_file_once(command):
    write("notes/deep/a.md", "text"), write("notes/b.md", "second text")
    assert "1 files named twice and read once" in command("index", "notes", "notes/deep")
    before = contents()
    for corpus in (["notes/deep"], ["notes"], ["notes/deep", "notes"]):
        assert "up to date" in command("index", *corpus, "--update")
    assert contents() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_an_error_and_deletes_nothing(command, run):
    write("notes/a.md", "text"), write("notes/deep/b.md", "deep text")
    command("index", "notes")
    Path("notes/deep").chmod(0)
    try:
        assert run("index", "notes", "-o", "f", "--update").exit_code == 1
    finally:
        Path("notes/deep").chmod(0o700)
    assert len(contents()) == 2


def test_a_moved_folder_is_reported_and_held_once(command):
    write("notes/a.md", "text"), write("notes/b.md", "second text")
    command("index", "notes")
    before = contents()
    Path("notes").rename("archive")
    shown = command("index", "archive", "--update")
    assert "up to date, 2 unchanged documents" in shown
    assert "2 documents moved, their former file is gone" in shown
    assert contents() == before
    assert "moved" not in command("index", "archive", "--update")
