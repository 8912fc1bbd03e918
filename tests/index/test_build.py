"""Index.build: new folders, overwriting, folders that are refused, and builds that fail."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from brute_force import make_documents
from index_folders import DOCUMENTS, find_texts, get_texts, interrupt_after, list_names

from hpdsearch.catalog import CatalogWriter
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError, EncoderError, IndexFolderError
from hpdsearch.index import Index
from hpdsearch.lexical import LexicalWriter
from hpdsearch.records import Document


def test_an_opened_index_answers_as_the_built_one(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with Index.build(str(tmp_path / "a" / "index"), iter(DOCUMENTS), encoder=tiny_encoder) as built:
        assert find_texts(built) == get_texts(DOCUMENTS)
        answer = built.search("cat dog")
        assert built.report is not None
        assert built.report.n_documents == 30
    with Index.open(str(tmp_path / "a" / "index")) as opened:
        assert opened.search("cat dog") == answer
        assert opened.report is None
        assert opened.verify() == []
        assert opened.count("half = 0") == 15


def test_an_existing_index_is_not_built_over(folder: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(
        IndexFolderError,
        match="holds an index already; replace it with --overwrite, or change it with --update or hpdsearch add",
    ):
        Index.build(folder, make_documents(3, first=900), encoder=tiny_encoder)
    with Index.open(folder) as index:
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.info().generation == 1


def test_overwrite_without_an_index_builds_one(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with Index.build(tmp_path / name, DOCUMENTS, encoder=tiny_encoder, overwrite=True) as index:
            assert find_texts(index) == get_texts(DOCUMENTS)


@pytest.mark.parametrize("strict", [False, True])
def test_build_passes_strict_on(tmp_path: Path, tiny_encoder: Encoder, strict: bool) -> None:
    documents = [*DOCUMENTS, Document("empty", "")]
    if strict:
        with pytest.raises(CorpusError, match="document 'empty': has no text; fix it, or leave out --strict"):
            Index.build(tmp_path / "index", documents, encoder=tiny_encoder, strict=True)
    else:
        assert len(Index.build(tmp_path / "index", documents, encoder=tiny_encoder)) == 30


def test_a_folder_with_other_files_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(
            IndexFolderError, match=r"holds other files \(thesis.tex \.\.\.\); choose a folder of its own"
        ):
            Index.build(tmp_path, DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    assert list_names(tmp_path) == {"thesis.tex"}


def test_a_file_instead_of_the_folder_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    (tmp_path / "index").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(IndexFolderError, match="cannot be made"):
            Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    with pytest.raises(IndexFolderError, match="no such folder"):
        Index.open(tmp_path / "index")
    assert (tmp_path / "index").read_text() == "x"


def test_a_database_of_another_program_is_left_unchanged(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.execute("CREATE TABLE photos(name)")
    before = (tmp_path / "catalog.sqlite").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(IndexFolderError, match="is a database of another program"):
            Index.build(tmp_path, DOCUMENTS, encoder=tiny_encoder, overwrite=overwrite)
    with pytest.raises(IndexFolderError, match="is a database of another program"):
        Index.open(tmp_path)
    assert (tmp_path / "catalog.sqlite").read_bytes() == before


@pytest.mark.parametrize("n", [0, 10])
def test_a_first_build_that_fails_leaves_no_folder(tmp_path: Path, tiny_encoder: Encoder, n: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        Index.build(tmp_path / "parent" / "index", interrupt_after(n), encoder=tiny_encoder)
    assert list_names(tmp_path) == set()
    with pytest.raises(EncoderError):
        Index.build(tmp_path / "index", DOCUMENTS, encoder=tmp_path / "no encoder")
    assert list_names(tmp_path) == set()


def test_an_overwrite_that_fails_leaves_the_index_as_it_was(folder: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(KeyboardInterrupt):
        Index.build(folder, interrupt_after(10), encoder=tiny_encoder, overwrite=True)
    with Index.open(folder) as index:
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.verify() == []
        with pytest.raises(KeyboardInterrupt):
            index.add(interrupt_after(10))
        assert find_texts(index) == get_texts(DOCUMENTS)
        index.add(DOCUMENTS[:1])
    assert list_names(folder / "lexical") == {"000001"}
    assert len(list_names(folder)) <= 9


def test_an_interrupt_right_after_the_commit_does_not_undo_it(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = CatalogWriter.commit

    def commit_and_interrupt(self: CatalogWriter) -> None:
        commit(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CatalogWriter, "commit", commit_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder)
    with Index.open(tmp_path / "index") as index:
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.verify() == []


def test_lexical_rows_of_a_failed_overwrite_are_not_found_after_the_next(folder: Path, tiny_encoder: Encoder) -> None:
    failed = LexicalWriter(folder / "lexical" / "000002")
    for row in range(30):
        failed.add(row, "", "xylophone")
    failed.commit()
    failed.close()
    with Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True) as index:
        assert (folder / "lexical" / "000002").exists()
        assert index.search("xylophone", mode="lexical") == []
        before = index.search("cat", mode="lexical")
        failed = LexicalWriter(folder / "lexical" / "000002")
        for row in range(30, 60):
            failed.add(row, "", "xylophone cat")
        failed.commit()
        failed.close()
        index.add([Document("x", "the queen")])
        assert index.search("xylophone", mode="lexical") == []
        assert [hit.doc_id for hit in index.search("cat", mode="lexical")] == [hit.doc_id for hit in before]
