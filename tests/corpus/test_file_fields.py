import os
from pathlib import Path

import pytest

from hpdsearch import Index
from hpdsearch.corpus import ReadOptions, read_corpus
from hpdsearch.corpus.file_fields import format_time, split_front_matter

TIME = 1_767_312_000  # 2026-01-02T00:00:00+00:00


def write(path: Path, text: str, time: int = TIME) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time, time))
    return path


def test_a_file_that_is_one_document_has_fields_of_the_file(tmp_path):
    write(tmp_path / "top.txt", "four")
    write(tmp_path / "guide" / "deep" / "a.md", "text")
    deep, top = read_corpus(tmp_path)
    assert top.metadata == {
        "file": "top.txt",
        "folder": tmp_path.name,
        "extension": "txt",
        "size": 4,
        "modified": "2026-01-02T00:00:00+00:00",
    }
    assert (deep.metadata["folder"], deep.metadata["file"]) == ("deep", "a.md")


def test_records_and_lines_have_no_fields_of_the_file(tmp_path):
    for name, content in (("a.txt", "x\n"), ("a.jsonl", '{"text":"x"}\n'), ("a.csv", "text\nx\n")):
        (document,) = read_corpus(write(tmp_path / name, content))
        assert document.metadata == {}


def test_front_matter_becomes_metadata(tmp_path):
    front = "---\ntitle: The sea\ntags: [a, b]\ndate: 2026-05-06\ndraft: true\nsize: large\n---\n# Heading\ntext\n"
    (document,) = read_corpus(write(tmp_path / "a.md", front))
    assert document.title == "The sea"
    assert document.text == "# Heading\ntext\n"
    assert document.locations == ((0, "Heading"),)
    metadata = document.metadata
    assert (metadata["tags"], metadata["date"], metadata["draft"]) == (["a", "b"], "2026-05-06", True)
    assert metadata["size"] == "large"  # the document's own field comes first


@pytest.mark.parametrize(
    "text",
    [
        "---\nno mapping\n---\ntext",
        "---\na: [\n---\ntext",
        "---\na: &x [1]\nb: *x\n---\ntext",
        "---\nb: !!python/object/apply:os.system [ls]\n---\ntext",
        "---\n" + "[" * 5000 + "\n---\n",
        "--- a: 1\n",
        "text\n---\na: 1\n---\n",
    ],
)
def test_other_text_between_rules_stays(text):
    assert split_front_matter(text) == ({}, text)


def test_columns_choose_among_these_fields(tmp_path):
    path = write(tmp_path / "a.md", "---\nlang: en\n---\ntext")
    (document,) = read_corpus(path, ReadOptions(columns=("lang", "extension")))
    assert document.metadata == {"extension": "md", "lang": "en"}
    (document,) = read_corpus(path, ReadOptions(exclude_columns=("modified", "size", "folder")))
    assert document.metadata == {"file": "a.md", "extension": "md", "lang": "en"}


def test_a_time_beyond_the_calendar_is_blank():
    assert format_time(0) == "1970-01-01T00:00:00+00:00"
    assert format_time(1e15) == ""


def test_files_are_filtered_by_extension_and_time(tmp_path, tiny_encoder):
    write(tmp_path / "c" / "a.txt", "the tide")
    write(tmp_path / "c" / "b.md", "the tide", TIME - 10 * 86400)
    with Index.build(tmp_path / "i", read_corpus(tmp_path / "c"), encoder=tiny_encoder) as index:
        found = index.search("tide", where='extension = "txt" and modified > "2026-01-01"')
        assert [hit.doc_id for hit in found] == ["a.txt"]
        assert index.count('modified < "2026-01-01"') == 1


def test_an_update_does_not_rewrite_files_that_were_only_touched(tmp_path, tiny_encoder):
    path = write(tmp_path / "c" / "a.txt", "the tide")
    write(tmp_path / "c" / "b.txt", "the moon")
    with Index.build(tmp_path / "i", read_corpus(tmp_path / "c"), encoder=tiny_encoder) as index:
        os.utime(path, (TIME + 1, TIME + 1))
        report = index.update(read_corpus(tmp_path / "c"), under=tmp_path / "c")
        assert (report.n_unchanged, report.n_documents) == (2, 0)
        assert index.get("a.txt").metadata["modified"] == format_time(TIME)
        write(path, "the sun", TIME + 2)
        report = index.update(read_corpus(tmp_path / "c"), under=tmp_path / "c")
        assert (report.n_unchanged, report.n_documents) == (1, 1)
        assert index.get("a.txt").metadata["modified"] == format_time(TIME + 2)


def test_a_deleted_file_that_was_touched_stays_away(tmp_path, tiny_encoder):
    path = write(tmp_path / "c" / "a.txt", "the tide")
    write(tmp_path / "c" / "b.txt", "the moon")
    with Index.build(tmp_path / "i", read_corpus(tmp_path / "c"), encoder=tiny_encoder) as index:
        index.delete(["a.txt"])
        os.utime(path, (TIME + 1, TIME + 1))
        report = index.update(read_corpus(tmp_path / "c"), under=tmp_path / "c")
        assert (report.n_withdrawn, report.n_unchanged) == (1, 1)


def test_a_moved_file_gets_its_new_folder_without_being_written_again(tmp_path, tiny_encoder):
    write(tmp_path / "c" / "old" / "a.txt", "the tide")
    write(tmp_path / "c" / "b.txt", "the moon")
    with Index.build(tmp_path / "i", read_corpus(tmp_path / "c"), encoder=tiny_encoder) as index:
        (tmp_path / "c" / "old").rename(tmp_path / "c" / "new")
        (tmp_path / "c" / "old").mkdir()
        write(tmp_path / "c" / "old" / "x.md", "the sun")
        report = index.update(read_corpus(tmp_path / "c"), under=tmp_path / "c")
        assert report.n_documents <= 2
        (hit,) = index.search("tide", where='folder = "new"')
        assert hit.metadata["file"] == "a.txt"
        assert index.count('folder = "old"') == 1
        assert list(index.verify()) == []
