"""A document is identified by its source or by its record's id: sources never overwrite each other unasked."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpdsearch.corpus import LineFormat, ReadOptions, read_corpus
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.index import Index
from hpdsearch.indexer.ingest import IngestReport
from hpdsearch.records import Document

Change = Callable[..., IngestReport]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def write(path: str, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def write_records(path: str, **texts: str) -> str:
    return write(path, "".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))


def build(encoder: Encoder, *names: str) -> Index:
    return Index.build("index", read_corpus(list(names)), encoder=encoder)


def add(index: Index, *names: str) -> IngestReport:
    return index.add(read_corpus(list(names)))


def update(index: Index, *names: str) -> IngestReport:
    return index.update(read_corpus(list(names)), under=list(names))


def add_stream(index: Index, data: bytes, *names: str, **options: object) -> IngestReport:
    return index.add(read_corpus([*names, "-"], ReadOptions(**options), stdin=io.BytesIO(data)))  # type: ignore[arg-type]


def contents(index: Index) -> dict[str, str]:
    """Return the stored texts by doc_id; the index is intact."""
    assert index.verify() == []
    return {hit.doc_id: hit.text for hit in index.search("cat", 1000, mode="dense")}


# ---- files of the same name


@pytest.mark.parametrize("change", [add, update])
def test_a_file_of_another_folder_does_not_replace_one_with_its_name(
    home: Path, tiny_encoder: Encoder, change: Change
) -> None:
    write("a/README.md", "cat"), write("b/README.md", "dog"), write("c/b/README.md", "moon")
    with build(tiny_encoder, "a") as index:
        report = change(index, "b")
        assert (report.n_documents, report.n_replaced, report.n_deleted) == (1, 0, 0)
        change(index, "c/b")
        assert contents(index) == {"README.md": "cat", "b/README.md": "dog", "c/b/README.md": "moon"}
        assert change(index, "a", "b", "c/b").n_deleted == 0
        assert contents(index) == {"README.md": "cat", "b/README.md": "dog", "c/b/README.md": "moon"}


@pytest.mark.parametrize("change", [add, update])
def test_lines_of_a_file_with_the_same_name_are_kept_apart_as_a_whole(
    home: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    for folder, text in (("a", "cat\ndog\n"), ("b", "moon\nsun\nstar\n")):
        write(f"{folder}/c.txt", text)
    monkeypatch.chdir("a")
    with build(tiny_encoder, "c.txt") as index:
        monkeypatch.chdir("../b")
        index.folder = home / "a" / "index"
        change(index, "c.txt")
        expected = {"c.txt:1": "cat", "c.txt:2": "dog", "b/c.txt:1": "moon", "b/c.txt:2": "sun", "b/c.txt:3": "star"}
        assert contents(index) == expected
        assert change(index, "../a/c.txt", "c.txt").n_replaced == (5 if change is add else 0)
        assert contents(index) == expected


def test_two_folders_are_indexed_in_one_run(home: Path, tiny_encoder: Encoder) -> None:
    write("a/README.md", "cat"), write("b/README.md", "dog"), write("b/x.md", "moon")
    with build(tiny_encoder, "a", "b") as index:
        expected = {"a/README.md": "cat", "b/README.md": "dog", "x.md": "moon"}
        assert contents(index) == expected
        assert update(index, "a").n_unchanged == 1
        assert update(index, "b").n_unchanged == 2
        assert contents(index) == expected


def test_a_stored_document_keeps_its_long_id_when_the_short_one_is_free_again(
    home: Path, tiny_encoder: Encoder
) -> None:
    write("a/README.md", "cat"), write("b/README.md", "dog")
    with build(tiny_encoder, "a", "b") as index:
        index.delete(["a/README.md"])
        write("b/README.md", "moon")
        assert update(index, "b").n_replaced == 1
        assert contents(index) == {"b/README.md": "moon"}


def test_an_extended_id_that_another_new_file_has_is_extended_further(home: Path, tiny_encoder: Encoder) -> None:
    write("a/README.md", "cat"), write("x/b/README.md", "dog"), write("y/b/README.md", "moon")
    with build(tiny_encoder, "a") as index:
        add(index, "x/b", "y")  # x/b/README.md becomes b/README.md, the id that the other one has in y
        assert contents(index) == {"README.md": "cat", "b/README.md": "dog", "y/b/README.md": "moon"}


@pytest.mark.parametrize("doc_id", ["README.md", "b/README.md"])
def test_a_file_does_not_replace_a_record_with_its_name(home: Path, tiny_encoder: Encoder, doc_id: str) -> None:
    write("a/b/README.md", "dog")
    with Index.build("index", [Document(doc_id, "cat")], encoder=tiny_encoder) as index:
        add(index, "a/b")
        expected = {"README.md": "b/README.md", "b/README.md": "README.md"}[doc_id]
        assert contents(index) == {doc_id: "cat", expected: "dog"}


# ---- one file by several names


NAMES = ["u/a.txt", "./u/a.txt", "u/../u//a.txt", "link/a.txt", "l.txt", "{home}/u/a.txt", "{home}/link/a.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("second", NAMES)
@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("change", [add, update])
def test_a_file_named_in_another_way_is_recognized(
    home: Path, tiny_encoder: Encoder, change: Change, first: str, second: str
) -> None:
    write("u/a.txt", "cat\ndog\n")
    Path("link").symlink_to("u")
    Path("l.txt").symlink_to("u/a.txt")
    with build(tiny_encoder, first.format(home=home)) as index:
        before = contents(index)
        assert len(before) == 2
        report = change(index, second.format(home=home))
        assert (report.n_unchanged, report.n_replaced) == ((0, 2) if change is add else (2, 0))
        assert contents(index) == before


@pytest.mark.parametrize("change", [add, update])
def test_a_folder_named_from_another_directory_is_recognized(
    home: Path, tiny_encoder: Encoder, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("notes/a.md", "cat"), write("notes/deep/b.md", "dog")
    with build(tiny_encoder, "notes") as index:
        before = contents(index)
        index.folder = index.folder.resolve()
        monkeypatch.chdir("notes/deep")
        for name in ("..", "../", "../../notes", ".", "b.md", "../a.md"):
            assert change(index, name).n_deleted == 0
            assert contents(index) == before


def test_a_file_that_was_replaced_by_a_link_to_it_is_recognized(home: Path, tiny_encoder: Encoder) -> None:
    write("notes/a.md", "cat")
    with build(tiny_encoder, "notes") as index:
        shutil.move("notes/a.md", "store.md")
        Path("notes/a.md").symlink_to("../store.md")
        write("store.md", "dog")
        update(index, "notes")
        assert set(contents(index).values()) == {"dog"}


# ---- files that were moved


def test_a_moved_folder_keeps_its_documents_and_nothing_is_encoded(home: Path, tiny_encoder: Encoder) -> None:
    write("notes/a.md", "cat"), write("notes/deep/b.md", "dog")
    with build(tiny_encoder, "notes") as index:
        before = contents(index)
        Path("notes").rename("archive")
        report = update(index, "archive")
        assert (report.n_moved, report.n_unchanged, report.n_documents, report.n_deleted) == (2, 2, 0, 0)
        assert contents(index) == before
        assert update(index, "archive").n_moved == 0  # the new place is stored
        write("archive/a.md", "moon")
        assert update(index, "archive").n_replaced == 1


def test_a_moved_file_that_lost_lines_loses_their_documents(
    home: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a/c.txt", "cat\ndog\nmoon\n")
    monkeypatch.chdir("a")
    with Index.build(home / "index", read_corpus("c.txt"), encoder=tiny_encoder) as index:
        monkeypatch.chdir(home)
        Path("a").rename("b")
        write("b/c.txt", "cat\nqueen\n")
        monkeypatch.chdir("b")
        assert update(index, "c.txt").n_deleted == 1
        assert contents(index) == {"c.txt:1": "cat", "c.txt:2": "queen"}


def test_add_reports_a_moved_file(home: Path, tiny_encoder: Encoder) -> None:
    write("a/README.md", "cat")
    with build(tiny_encoder, "a") as index:
        Path("a").rename("b")
        write("b/README.md", "dog")
        report = add(index, "b")
        assert (report.n_moved, report.n_replaced, report.n_replaced_others) == (1, 1, 0)
        assert contents(index) == {"README.md": "dog"}


def test_a_file_on_a_volume_that_is_not_mounted_is_not_replaced(home: Path, tiny_encoder: Encoder) -> None:
    write("mount/README.md", "cat"), write("b/README.md", "dog")
    with build(tiny_encoder, "mount") as index:
        Path("mount/README.md").unlink()  # the mount point is an empty folder
        add(index, "b")
        assert contents(index) == {"README.md": "cat", "b/README.md": "dog"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_in_an_unreadable_folder_is_not_replaced(home: Path, tiny_encoder: Encoder) -> None:
    write("a/README.md", "cat"), write("b/README.md", "dog")
    with build(tiny_encoder, "a") as index:
        Path("a").chmod(0)
        try:
            add(index, "b")
        finally:
            Path("a").chmod(0o700)
        assert contents(index) == {"README.md": "cat", "b/README.md": "dog"}


# ---- records


def test_a_record_replaces_one_of_another_file_and_the_report_says_so(home: Path, tiny_encoder: Encoder) -> None:
    write_records("a.jsonl", x="cat", y="dog")
    write_records("b.jsonl", y="moon", z="sun")
    with build(tiny_encoder, "a.jsonl") as index:
        report = add(index, "b.jsonl")
        assert (report.n_documents, report.n_replaced, report.n_replaced_others) == (2, 1, 1)
        report = add(index, "b.jsonl")
        assert (report.n_documents, report.n_replaced, report.n_replaced_others) == (2, 2, 0)
        assert contents(index) == {"x": "cat", "y": "moon", "z": "sun"}


@pytest.mark.parametrize("change", [add, update])
def test_one_id_in_two_files_of_a_run_is_an_error_that_names_both(
    home: Path, tiny_encoder: Encoder, change: Change
) -> None:
    write_records("a.jsonl", x="cat")
    write_records("b.jsonl", y="moon")
    write_records("c.jsonl", y="sun")
    with build(tiny_encoder, "a.jsonl") as index:
        with pytest.raises(CorpusError, match=r"c\.jsonl:1: doc_id 'y' came before, at .*b\.jsonl:1"):
            change(index, "b.jsonl", "c.jsonl")
        assert contents(index) == {"x": "cat"}


def test_lines_that_shift_do_not_write_records_again(home: Path, tiny_encoder: Encoder) -> None:
    write_records("a.jsonl", x="cat", y="dog", z="moon")
    with build(tiny_encoder, "a.jsonl") as index:
        write_records("a.jsonl", y="dog", z="moon")
        report = update(index, "a.jsonl")
        assert (report.n_unchanged, report.n_documents, report.n_deleted, report.n_moved) == (2, 0, 1, 0)
        assert contents(index) == {"y": "dog", "z": "moon"}
        assert index.update(read_corpus("a.jsonl"), under="a.jsonl").n_relocated == 0


# ---- streams


def test_a_second_stream_does_not_overwrite_the_first(home: Path, tiny_encoder: Encoder) -> None:
    write("a.txt", "cat\n")
    with build(tiny_encoder, "a.txt") as index:
        add_stream(index, b"dog\nmoon\n")
        add_stream(index, b"sun\n")
        add_stream(index, b"star\n")
        assert contents(index) == {
            "a.txt:1": "cat",
            "stdin:1": "dog",
            "stdin:2": "moon",
            "stdin-2:1": "sun",
            "stdin-3:1": "star",
        }


def test_two_streams_of_one_command_are_two_streams(home: Path, tiny_encoder: Encoder) -> None:
    write("a.txt", "cat\n")
    read, pipe = os.pipe()
    os.write(pipe, b"moon\n")
    os.close(pipe)
    with build(tiny_encoder, "a.txt") as index:
        add_stream(index, b"dog\n", f"/dev/fd/{read}")
        os.close(read)
        add_stream(index, b"sun\n")
        assert contents(index) == {"a.txt:1": "cat", "stdin:1": "moon", "stdin-2:1": "dog", "stdin-3:1": "sun"}


def test_update_compares_standard_input_with_the_first_stream(home: Path, tiny_encoder: Encoder) -> None:
    def read(data: bytes) -> object:
        return read_corpus("-", stdin=io.BytesIO(data))

    with Index.build("index", read(b"cat\ndog\n"), encoder=tiny_encoder) as index:  # type: ignore[arg-type]
        add_stream(index, b"moon\n")
        report = index.update(read(b"cat\n"), under="stdin")  # type: ignore[arg-type]
        assert (report.n_unchanged, report.n_deleted) == (1, 1)
        assert contents(index) == {"stdin:1": "cat", "stdin-2:1": "moon"}
        add_stream(index, b"sun\n")
        assert contents(index).keys() == {"stdin:1", "stdin-2:1", "stdin-3:1"}


def test_records_of_streams_keep_their_ids(home: Path, tiny_encoder: Encoder) -> None:
    with Index.build("index", [Document("x", "cat")], encoder=tiny_encoder) as index:
        options = {"stdin_format": LineFormat.JSONL}
        add_stream(index, b'{"id": "y", "text": "dog"}', **options)
        report = add_stream(index, b'{"id": "y", "text": "moon"}', **options)
        assert (report.n_replaced, report.n_replaced_others) == (1, 1)
        assert contents(index) == {"x": "cat", "y": "moon"}


# ---- indexes of earlier versions, which stored paths as they were written


def build_as_before(encoder: Encoder, *documents: tuple[str, str, str]) -> Index:
    return Index.build("index", [Document(i, text, source=source) for i, source, text in documents], encoder=encoder)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        *((add, name) for name in ("u/a.txt", "./u/a.txt", "{home}/u/a.txt")),
        *((update, name) for name in ("u/a.txt", "./u/a.txt", "{home}/u/a.txt", "../home/u/a.txt", "link/a.txt")),
    ],
)
def test_lines_of_an_earlier_version_are_recognized(
    home: Path, tiny_encoder: Encoder, change: Change, stored: str
) -> None:
    write("u/a.txt", "cat\ndog\n")
    Path("link").symlink_to("u")
    stored = stored.format(home=home)
    lines = [(f"{stored}:{n}", f"{stored}:{n}", text) for n, text in ((1, "cat"), (2, "dog"))]
    with build_as_before(tiny_encoder, *lines) as index:
        change(index, "u/a.txt")
        assert sorted(contents(index).values()) == ["cat", "dog"]


def test_pages_of_an_earlier_version_are_recognized_from_another_directory(
    home: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("notes/README.md", "cat"), write("other/README.md", "dog")
    with build_as_before(tiny_encoder, ("README.md", "notes/README.md", "cat")) as index:
        index.folder = index.folder.resolve()
        monkeypatch.chdir("other")
        report = update(index, "../notes")  # writes the fields of the file
        assert (report.n_reused, report.n_replaced) == (1, 1)
        assert update(index, "../notes").n_unchanged == 1
        add(index, ".")
        assert contents(index) == {"README.md": "cat", "other/README.md": "dog"}


def test_relative_sources_of_an_earlier_version_become_absolute_without_encoding(
    home: Path, tiny_encoder: Encoder
) -> None:
    write("notes/a.md", "cat"), write("notes/b.md", "dog")
    with build_as_before(
        tiny_encoder, ("a.md", "notes/a.md", "cat"), ("b.md", "notes/b.md", "dog"), ("c.md", "notes/c.md", "moon")
    ) as index:
        report = update(index, "notes")
        # The fields of the files are new.
        assert (report.n_replaced, report.n_reused, report.n_deleted, report.n_moved) == (2, 2, 1, 0)
        report = update(index, "notes")
        assert (report.n_unchanged, report.n_documents, report.n_deleted) == (2, 0, 0)
        assert contents(index) == {"a.md": "cat", "b.md": "dog"}


def test_streams_of_an_earlier_version_are_counted(home: Path, tiny_encoder: Encoder) -> None:
    with build_as_before(tiny_encoder, ("x", "", "cat")) as index:
        index.add([Document("y", "dog")])
    with build_as_before_stream(tiny_encoder) as index:
        add_stream(index, b"moon\n")
        assert contents(index) == {"stdin:1": "cat", "stdin-2:1": "moon"}


def build_as_before_stream(encoder: Encoder) -> Index:
    """Build an index with a stream, without the setting that counts streams."""
    import sqlite3

    from hpdsearch.indexer.transaction import Transaction

    with Index.build("before", [Document("stdin:1", "cat", source="stdin:1")], encoder=encoder):
        pass
    with Transaction(Path("before")) as txn:
        txn._meta.pop("n_streams")
        txn.catalog._execute("DELETE FROM meta WHERE key = 'n_streams'")
        txn.commit()
    with sqlite3.connect("before/catalog.sqlite") as connection:
        assert not connection.execute("SELECT 1 FROM meta WHERE key = 'n_streams'").fetchall()
    connection.close()
    return Index.open("before", encoder=encoder)
