"""An update does not read files that are as they were; it reads all others."""

import os
from pathlib import Path

import pytest

from hpdsearch import Index
from hpdsearch.corpus import ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus import read as reading
from hpdsearch.corpus.scope import CorpusScope

OLD = 1_767_312_000 * 10**9  # settled


def write(path: Path, text: str, time_ns: int = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(time_ns, time_ns))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write(tmp_path / "c" / "a.md", "the tide")
    write(tmp_path / "c" / "sub" / "b.txt", "the moon")
    write(tmp_path / "c" / "n.ipynb", '{"cells": [{"source": "the sun"}]}')
    return tmp_path / "c"


@pytest.fixture
def index(tmp_path: Path, corpus: Path, tiny_encoder):
    with Index.build(tmp_path / "i", read_corpus(corpus), encoder=tiny_encoder) as built:
        yield built


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Return a list that grows by the names of the files that are read."""
    names: list[str] = []
    original = reading.read_source

    def record(source, *arguments):
        names.append(Path(source.location).name)
        return original(source, *arguments)

    monkeypatch.setattr(reading, "read_source", record)
    return names


def update(index: Index, corpus: Path, **options):
    stats = ReadStats()
    scope = CorpusScope([str(corpus)], stats.locations_read, stats.locations_skipped)
    return index.update(read_corpus(corpus, ReadOptions(**options), stats=stats), under=scope), stats


def test_files_that_are_as_they_were_are_not_read(index, corpus, read):
    report, stats = update(index, corpus)
    assert read == []
    assert (report.n_unchanged, report.n_documents, report.n_deleted, stats.n_left_out) == (3, 0, 0, 3)


def test_a_changed_file_is_read_and_the_others_are_not(index, corpus, read):
    write(corpus / "a.md", "the Tide", OLD + 1)  # as long as before
    report, _ = update(index, corpus)
    assert read == ["a.md"]
    assert (report.n_unchanged, report.n_documents) == (2, 1)
    assert index.get("a.md").text == "the Tide"
    read.clear()
    update(index, corpus)
    assert read == []


def test_a_document_that_was_only_touched_is_not_extracted_again(index, corpus, read):
    for name in ("n.ipynb", "a.md"):
        os.utime(corpus / name, ns=(OLD + 1, OLD + 1))
    report, _ = update(index, corpus)
    assert read == ["a.md"]  # reading a text takes no longer than hashing it
    assert (report.n_unchanged, report.n_documents, report.n_files) == (3, 0, 2)
    read.clear()
    assert update(index, corpus)[0].n_files == 0
    assert read == []


def test_a_document_of_other_bytes_and_the_same_length_is_extracted(index, corpus, read):
    write(corpus / "n.ipynb", '{"cells": [{"source": "the fog"}]}', OLD + 1)
    assert update(index, corpus)[0].n_documents == 1
    assert index.get("n.ipynb").text == "the fog"


def test_a_corpus_of_which_a_document_was_consumed_is_read_to_its_end(index, corpus, read):
    documents = read_corpus(corpus)
    assert next(documents).doc_id == "a.md"
    assert index.update(documents, under=()).n_unchanged == 2
    assert read == ["a.md", "n.ipynb", "b.txt"]


def test_a_file_that_changed_just_now_is_read_again(tmp_path, corpus, tiny_encoder, read):
    (corpus / "a.md").touch()
    with Index.build(tmp_path / "i", read_corpus(corpus), encoder=tiny_encoder) as index:
        read.clear()
        assert update(index, corpus)[0].n_unchanged == 3
        assert read == ["a.md"]


@pytest.mark.parametrize("options", [{"columns": ("lang",)}, {"encoding": "latin-1"}])
def test_other_options_read_all_files_again(index, corpus, read, options):
    update(index, corpus, **options)
    assert sorted(read) == ["a.md", "b.txt", "n.ipynb"]


def test_deleted_excluded_and_new_files_are_treated_as_without_states(index, corpus, read):
    index.delete(["sub/b.txt"])
    (corpus / "n.ipynb").unlink()
    write(corpus / "d.md", "rivers")
    report, _ = update(index, corpus, exclude=("a.md",))
    assert (report.n_deleted, report.n_withdrawn, report.n_documents) == (1, 1, 1)
    assert sorted(index.doc_ids('extension != "x"')) == ["a.md", "d.md"]
    assert sorted(read) == ["b.txt", "d.md"]


def test_a_file_at_the_former_place_of_a_moved_one_is_read(index, corpus, read):
    (corpus / "sub" / "b.txt").rename(corpus / "sub" / "new.txt")
    update(index, corpus)
    write(corpus / "sub" / "b.txt", "the boat")  # of the same size and time
    update(index, corpus)
    assert sorted(read) == ["b.txt", "new.txt"]
    assert {index.get(doc_id).text for doc_id in index.doc_ids('folder = "sub"')} == {"the moon", "the boat"}


def test_lines_of_a_file_are_replaced_by_its_page(index, corpus):
    index.add(read_corpus(corpus / "sub" / "b.txt"))
    assert len(index) == 4
    assert update(index, corpus)[0].n_deleted == 1
    assert index.get("sub/b.txt").text == "the moon"


def test_the_check_of_the_first_records_can_wait(index, corpus):
    write(corpus / "bad.md", "")
    (corpus / "bad.md").write_bytes(b"\xe9")
    stats = ReadStats()
    documents = read_corpus(corpus, stats=stats, check=False)
    with pytest.raises(ValueError, match=r"bad\.md:1: expected UTF-8"):
        next(documents)


def test_an_index_that_is_built_again_has_no_former_states(tmp_path, index, corpus, tiny_encoder, read):
    Index.build(tmp_path / "i", read_corpus(corpus / "a.md"), encoder=tiny_encoder, overwrite=True).close()
    read.clear()
    with Index.open(tmp_path / "i") as opened:
        assert update(opened, corpus)[0].n_documents == 2
    assert sorted(read) == ["b.txt", "n.ipynb"]
    assert list(index.verify()) == []
