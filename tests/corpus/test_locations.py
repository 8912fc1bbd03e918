"""A file is one source by whatever names it is called; different files have different doc_ids."""

import io
import os
import threading
from pathlib import Path

import pytest

from hpdsearch.corpus import LineFormat, ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.locations import (
    extend_left,
    find_ending,
    is_ending,
    is_gone,
    list_endings,
    may_be_unmounted,
    split_line,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with u/a.txt in it and a link to u."""
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "link").symlink_to("u")
    (tmp_path / "other.txt").symlink_to("u/a.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def identities(*names: str, stats: ReadStats | None = None) -> list[tuple[str, str]]:
    return [(document.doc_id, document.source) for document in read_corpus(list(names), stats=stats)]


SPELLINGS = ["u/a.txt", "./u/a.txt", "u//a.txt", "u/../u/a.txt", "link/a.txt", "link/../u/a.txt", "other.txt"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_name_of_a_file_gives_one_location_and_an_ending_of_it(home: Path, name: str) -> None:
    found = identities(name)
    assert [source for _, source in found] == [f"{home}/u/a.txt:1", f"{home}/u/a.txt:2"]
    assert [doc_id for doc_id, _ in found] in (["u/a.txt:1", "u/a.txt:2"], ["a.txt:1", "a.txt:2"])


def test_an_absolute_name_gives_the_same_location(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [source for _, source in identities("u/a.txt")]
    assert [source for _, source in identities(f"{home}/u/a.txt")] == expected
    monkeypatch.chdir(home / "u")
    assert [source for _, source in identities("a.txt")] == expected
    assert [source for _, source in identities("../u/a.txt")] == expected


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_file_named_twice_is_read_once_and_counted(home: Path, name: str) -> None:
    stats = ReadStats()
    assert identities("u/a.txt", name, stats=stats) == identities("u/a.txt")
    assert (stats.n_repeated, stats.n_documents) == (1, 2)


def test_a_file_and_its_folder_are_read_once(home: Path) -> None:
    (home / "u" / "b.md").write_text("# b")
    stats = ReadStats()
    assert identities("u", "link/", "u/b.md", stats=stats) == [
        ("a.txt", f"{home}/u/a.txt"),
        ("b.md", f"{home}/u/b.md"),
    ]
    assert stats.n_repeated == 3


def test_a_link_in_a_folder_stands_for_its_file(home: Path) -> None:
    (home / "notes").mkdir()
    (home / "notes" / "x.md").write_text("x")
    (home / "notes" / "y.md").symlink_to("x.md")
    (home / "notes" / "z.txt").symlink_to(home / "u" / "a.txt")
    assert identities("notes") == [("a.txt", f"{home}/u/a.txt"), ("x.md", f"{home}/notes/x.md")]


def test_hard_links_are_two_files(home: Path) -> None:
    (home / "b.txt").hardlink_to("u/a.txt")
    assert len(identities("u/a.txt", "b.txt")) == 4


def test_equal_doc_ids_of_different_files_are_extended_alike(home: Path) -> None:
    for folder in ("x/notes", "y/notes", "z"):
        Path(folder).mkdir(parents=True)
        Path(folder, "README.md").write_text("text")
        Path(folder, f"{folder[0]}.md").write_text("text")
    assert [doc_id for doc_id, _ in identities("x/notes", "y/notes", "z")] == [
        "x/notes/README.md",
        "x.md",
        "y/notes/README.md",
        "y.md",
        "z/README.md",
        "z.md",
    ]


def test_equal_names_of_line_files_are_extended_for_the_whole_file(home: Path) -> None:
    for folder in ("x", "y"):
        Path(folder).mkdir()
        Path(folder, "c.txt").write_text("one\ntwo\n")
        Path(f"to-{folder}").symlink_to(folder)
    assert [doc_id for doc_id, _ in identities("to-x/c.txt", "to-y/c.txt")] == [
        *("x/c.txt:1", "x/c.txt:2", "y/c.txt:1", "y/c.txt:2")
    ]


def test_messages_name_the_file_as_it_was_written(home: Path) -> None:
    Path("u/b.jsonl").write_text("no json\n")
    with pytest.raises(Exception, match=r"^\./u/b\.jsonl:1: expected a JSON object"):
        identities("./u/b.jsonl")


def test_two_streams_are_two_sources() -> None:
    documents = read_corpus(["-", "-"], stdin=io.BytesIO(b"one\ntwo\n"))
    assert [document.source for document in documents] == ["stdin:1", "stdin:2"]


def test_a_fifo_is_a_stream_of_the_format_of_standard_input(home: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_text, args=('{"text": "one"}\n',))
    writer.start()
    stats = ReadStats()
    (document,) = read_corpus("pipe", ReadOptions(stdin_format=LineFormat.JSONL), stats=stats)
    writer.join()
    assert (document.doc_id, document.source, stats.bytes_total) == ("stdin:1", "stdin:1", None)


def test_a_record_id_is_kept() -> None:
    (document,) = read_corpus("-", ReadOptions(stdin_format=LineFormat.JSONL), stdin=io.BytesIO(b'{"id":7,"text":"t"}'))
    assert (document.doc_id, document.source) == ("7", "stdin:1")


# ---- endings


@pytest.mark.parametrize(
    ("doc_id", "location", "expected"),
    [
        ("a.md", "/x/a.md", True),
        ("x/a.md", "/x/a.md", True),
        ("/x/a.md", "/x/a.md", True),
        ("a.txt:17", "/x/a.txt:17", True),
        ("stdin:1", "stdin:1", True),
        ("17", "/x/a.txt:17", False),
        (".md", "/x/a.md", False),
        ("b/a.md", "/x/ab/a.md", False),
        ("", "/x/a.md", False),
        ("/a.md", "/x/a.md", False),
    ],
)
def test_an_ending_consists_of_whole_parts(doc_id: str, location: str, expected: bool) -> None:
    assert is_ending(doc_id, location) is expected


def test_endings_grow_by_one_part_up_to_the_location() -> None:
    assert list(list_endings("/x/y/a.md")) == ["a.md", "y/a.md", "x/y/a.md", "/x/y/a.md"]
    assert list(list_endings("stdin")) == ["stdin"]
    assert extend_left("/x/a.md", "/x/a.md") == "/x/a.md"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("y/a.md", "y/a.md"),
        ("./y/a.md", "y/a.md"),
        ("../y/a.md", "y/a.md"),
        ("link/a.md", "a.md"),
        ("b.md", "a.md"),
        ("/x/y/a.md", "/x/y/a.md"),
    ],
)
def test_a_doc_id_is_the_longest_ending_that_was_written(name: str, expected: str) -> None:
    assert find_ending(name, "/x/y/a.md") == expected


@pytest.mark.parametrize("text", ["/x/a:b.txt:17", "/x/a.txt:3:17"])
def test_only_the_last_number_is_a_line(text: str) -> None:
    assert split_line(text) == (text[:-3], ":17")
    assert split_line(text[:-3] + ".txt") == (text[:-3] + ".txt", "")


# ---- files that are gone


def test_a_file_is_gone_only_if_it_certainly_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert not is_gone(f"{tmp_path}/a.txt")
    assert is_gone(f"{tmp_path}/b.txt")
    assert is_gone(f"{tmp_path}/no/b.txt")
    assert is_gone(f"{tmp_path}/a.txt/b.txt")
    assert not is_gone(f"{tmp_path}/{'x' * 300}.txt")


def test_names_that_are_not_utf8_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (odd / "a.md").write_text("text")
    monkeypatch.chdir(odd)
    ((doc_id, source),) = identities("a.md")
    assert (doc_id, source) == ("a.md", f"{tmp_path}/\\xff/a.md")
    assert not is_gone(source)
    (odd / "a.md").unlink()
    assert is_gone(source)


def test_an_empty_folder_may_be_an_unmounted_volume(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    assert may_be_unmounted(f"{tmp_path}/mount/notes/a.md")
    assert not may_be_unmounted(f"{tmp_path}/gone/a.md")
