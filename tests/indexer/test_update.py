"""Update gives the index that indexing the files again would give, and encodes only new texts."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from brute_force import make_documents, read_passages

from hpdsearch.corpus import read_corpus
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.index import Index
from hpdsearch.records import Document


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a folder of notes."""
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "cat.txt").write_text("the old cat sleeps")
    (folder / "dog.md").write_text("the dog runs")
    (folder / "deep" / "moon.txt").write_text("the queen of the moon " * 60)
    return folder


def contents(index: Index) -> dict[str, str]:
    return {hit.doc_id: hit.text for hit in index.search("cat", 1000, mode="dense")}


def read(*paths: Path) -> Iterable[Document]:
    return read_corpus([str(path) for path in paths])


def test_only_new_texts_are_encoded_and_missing_documents_are_deleted(
    tmp_path: Path, tiny_encoder: Encoder, notes: Path
) -> None:
    with Index.build(tmp_path / "index", read(notes), encoder=tiny_encoder) as index:
        summary = index.update(read(notes), under=[notes])
        assert (summary.n_unchanged, summary.n_documents, summary.n_deleted) == (3, 0, 0)
        assert index.info().generation == 1  # nothing was written
        (notes / "cat.txt").write_text("the young cat runs")
        (notes / "dog.md").unlink()
        (notes / "war.txt").write_text("war and peace")
        (notes / "deep" / "moon.txt").rename(notes / "sun.txt")
        summary = index.update(read(notes), under=[notes])
        counts = (summary.n_unchanged, summary.n_documents, summary.n_replaced, summary.n_deleted, summary.n_reused)
        assert counts == (0, 3, 1, 2, 1)  # sun.txt holds the text of deep/moon.txt
        expected = {document.doc_id: document.text for document in read(notes)}
        assert contents(index) == expected
        assert index.verify() == []
        with Index.build(tmp_path / "fresh", read(notes), encoder=tiny_encoder):
            pass
        fresh, updated = (read_passages(tmp_path / name, tiny_encoder) for name in ("fresh", "index"))
        assert fresh.keys() == updated.keys()
        assert all(abs(fresh[key] - updated[key]).max() < 1e-3 for key in fresh)


def test_documents_of_other_sources_stay(tmp_path: Path, tiny_encoder: Encoder, notes: Path) -> None:
    lines, other = tmp_path / "lines.txt", tmp_path / "lines.txt.old.txt"
    lines.write_text("cat\ndog\n")
    other.write_text("moon\n")
    with Index.build(tmp_path / "index", read(notes, lines, other), encoder=tiny_encoder) as index:
        index.add([Document("from python", "queen")])
        lines.write_text("cat\n")
        summary = index.update(read(lines), under=[lines])
        assert (summary.n_unchanged, summary.n_deleted) == (1, 1)
        expected = {document.doc_id: document.text for document in read(notes, lines, other)} | {"from python": "queen"}
        assert contents(index) == expected


def test_lines_that_moved_are_not_encoded_again(tmp_path: Path, tiny_encoder: Encoder) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("cat\ndog\nmoon\n")
    with Index.build(tmp_path / "index", read(lines), encoder=tiny_encoder) as index:
        lines.write_text("queen\ncat\ndog\nmoon\n")
        summary = index.update(read(lines), under=[lines])
        assert (summary.n_documents, summary.n_reused, summary.n_replaced) == (4, 3, 3)
        assert list(contents(index).values()).count("queen") == 1
        assert contents(index) == {document.doc_id: document.text for document in read(lines)}
        assert index.verify() == []


@pytest.mark.parametrize("text", ["moon", "queen"], ids=["unchanged", "changed"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["read before its old file", "read after its old file"])
def test_a_record_that_moved_to_another_file_of_the_corpus_is_kept(
    tmp_path: Path, tiny_encoder: Encoder, text: str, order: tuple[int, int]
) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    paths = [(new, old)[position] for position in order]
    old.write_text('{"id": "1", "text": "cat"}\n{"id": "2", "text": "moon"}\n')
    new.write_text('{"id": "3", "text": "dog"}\n')
    with Index.build(tmp_path / "index", read(*paths), encoder=tiny_encoder) as index:
        old.write_text('{"id": "1", "text": "cat"}\n')
        new.write_text(f'{{"id": "3", "text": "dog"}}\n{{"id": "2", "text": "{text}"}}\n')
        report = index.update(read(*paths), under=paths)
        assert (report.n_documents, report.n_deleted, report.n_kept, report.n_moved) == (text != "moon", 0, 0, 0)
        assert contents(index) == {"1": "cat", "2": text, "3": "dog"}
        report = index.update(read(*paths), under=paths)
        assert (report.n_unchanged, report.n_documents, report.n_deleted) == (3, 0, 0)


@pytest.mark.parametrize("second", ["cat", "dog"])
def test_a_doc_id_that_comes_twice_is_refused_and_nothing_changes(
    tmp_path: Path, tiny_encoder: Encoder, second: str
) -> None:
    with Index.build(tmp_path / "index", [Document("a", "cat")], encoder=tiny_encoder) as index:
        with pytest.raises(CorpusError, match="doc_id 'a' came before"):
            index.update([Document("a", "cat"), Document("a", second)], under=[])
        assert contents(index) == {"a": "cat"}
        assert index.verify() == []


@pytest.mark.parametrize("as_what", [str, Path, lambda path: [path]])
def test_update_under_one_path_leaves_documents_of_other_paths(
    tmp_path: Path, tiny_encoder: Encoder, as_what: Any
) -> None:
    """A string is one path, not a list of characters: '/' would stand for every document with an absolute source."""
    documents = [Document(doc_id, "cat", source=f"/{doc_id}") for doc_id in ("here/1", "here/2", "there/3")]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        assert index.update(documents[:1], under=as_what("/here")).n_deleted == 1
        assert contents(index).keys() == {"here/1", "there/3"}


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_document_that_is_empty_now_is_deleted_by_update(tmp_path: Path, tiny_encoder: Encoder, text: str) -> None:
    documents = [Document("a", "cat", source="file:1"), Document("b", "dog", source="file:2")]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        summary = index.update([Document("a", text, source="file:1"), documents[1]], under=["file"])
        assert (summary.n_deleted, summary.n_unchanged, summary.n_empty) == (1, 1, 1)
        assert contents(index) == {"b": "dog"}
        assert index.verify() == []


@pytest.mark.parametrize("n_new", [3, 100])  # the rows are buffered in the catalog; the rows are written
def test_new_terms_are_found_after_many_deleted_rows_are_purged(
    tmp_path: Path, tiny_encoder: Encoder, n_new: int
) -> None:
    old = [replace(document, source=f"file:{i}") for i, document in enumerate(make_documents(1_200))]
    new = [Document(f"new {i}", "the zebra", source=f"file:{i}") for i in range(n_new)]
    with Index.build(tmp_path / "index", old, encoder=tiny_encoder) as index:
        summary = index.update([*old[:150], *new], under=["file"])
        assert (summary.n_unchanged, summary.n_documents, summary.n_deleted) == (150, n_new, 1_050)
        for word in ("zebra", "cat"):
            found = {hit.doc_id for hit in index.search(word, 1_000, mode="lexical")}
            assert found == {document.doc_id for document in [*old[:150], *new] if word in document.text.split()}
        assert index.verify() == []
