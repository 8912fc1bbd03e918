"""Index.add, update and delete: the documents afterwards, changes that fail, and files of dead writers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from brute_force import make_documents
from index_folders import DOCUMENTS, find_texts, get_texts, interrupt_after

from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError, QueryError
from hpdsearch.index import Index
from hpdsearch.records import Document


def test_add_replaces_and_delete_removes(folder: Path) -> None:
    texts = get_texts(DOCUMENTS)
    with Index.open(folder) as index:
        for turn in range(3):
            new = make_documents(12, seed=10 + turn, first=20 + 5 * turn)
            report = index.add(new)
            assert report.n_replaced == len(texts.keys() & get_texts(new).keys())
            texts |= get_texts(new)
            deleted = sorted(texts)[turn :: 11 - turn]
            assert index.delete(deleted) == len(deleted)
            for doc_id in deleted:
                del texts[doc_id]
            assert find_texts(index) == texts
            assert index.verify() == []
    with Index.open(folder) as again:
        assert find_texts(again) == texts


def test_delete_removes_all_or_none(folder: Path) -> None:
    with Index.open(folder) as index:
        with pytest.raises(QueryError, match="1 of 2 doc_ids are not in the index: 'nobody'"):
            index.delete(["d00001", "nobody"])
        with pytest.raises(QueryError, match=r"8 of 8 doc_ids are not in the index: '0', '1', '2', '3', '4' \.\.\.$"):
            index.delete(str(i) for i in range(8))
        assert index.delete([]) == 0
        assert index.info().generation == 1
        assert index.delete(["d00001", "d00002", "d00001"]) == 2
        assert index.delete("d00003") == 1
        assert find_texts(index) == get_texts([d for d in DOCUMENTS if d.doc_id not in ("d00001", "d00002", "d00003")])
        with pytest.raises(QueryError, match="d00001"):
            index.delete("d00001")


@pytest.mark.parametrize("make", [int, np.int64, np.uint8, pyarrow.scalar, str])
def test_integers_of_every_kind_are_doc_ids(folder: Path, make: Callable[[int], Any]) -> None:
    with Index.open(folder) as index:
        index.add([Document(make(i), "a cat") for i in (7, 8, 9)])
        assert {"7", "8", "9"} <= set(find_texts(index))
        assert index.add([Document(make(7), "a cat")]).n_replaced == 1
        assert index.delete(make(7)) == 1
        assert index.delete([make(8), make(9), make(9)]) == 2
        assert find_texts(index) == get_texts(DOCUMENTS)
        with pytest.raises(QueryError, match="1 of 1 doc_ids are not in the index: '7'"):
            index.delete([make(7)])


def test_an_index_can_lose_all_its_documents_and_get_new_ones(folder: Path) -> None:
    with Index.open(folder) as index:
        index.delete([document.doc_id for document in DOCUMENTS])
        assert len(index) == 0
        for mode in ("dense", "lexical", "hybrid"):
            assert index.search("cat", mode=mode) == []
        assert index.verify() == []
        index.add(DOCUMENTS[:3])
        assert find_texts(index) == get_texts(DOCUMENTS[:3])
        assert index.verify() == []


def test_a_change_includes_the_commits_of_others(folder: Path, tiny_encoder: Encoder) -> None:
    with Index.open(folder, encoder=tiny_encoder) as first, Index.open(folder, encoder=tiny_encoder) as second:
        first.add([Document("x", "the cat")])
        assert "x" not in find_texts(second)
        second.add([Document("y", "the dog")])
        assert find_texts(second) == get_texts(DOCUMENTS) | {"x": "the cat", "y": "the dog"}
        assert "y" not in find_texts(first)
        first.delete("y")
        assert find_texts(first) == get_texts(DOCUMENTS) | {"x": "the cat"}
        assert find_texts(second).keys() >= {"x", "y"}


def test_changing_a_vanished_index_is_an_error_and_creates_no_folder(folder: Path, tiny_encoder: Encoder) -> None:
    with Index.open(folder, encoder=tiny_encoder) as index:
        shutil.rmtree(folder)
        for change in (lambda: index.add(DOCUMENTS), lambda: index.delete("d00000"), index.verify):
            with pytest.raises(IndexFolderError):
                change()
    assert not folder.exists()


def test_an_update_that_fails_leaves_the_index_as_it_was(folder: Path) -> None:
    with Index.open(folder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.update(interrupt_after(100), under=["file"])
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.info().generation == 1
        assert index.verify() == []


LEFTOVERS = (
    "vectors-000009.f16",
    "vectors-000002.f16.partial",
    "index-000009.faiss",
    "index-000002.faiss.partial",
    "lexical/000009/x.idx",
)


@pytest.mark.parametrize("change", ["add", "delete", "overwrite"])
def test_the_next_writer_removes_the_files_of_a_dead_one_and_no_others(
    folder: Path, tiny_encoder: Encoder, change: str
) -> None:
    (folder / "lexical" / "000009").mkdir()
    for name in LEFTOVERS:
        (folder / name).write_text("half")
    (folder / "notes.txt").write_text("mine")
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert find_texts(index) == get_texts(DOCUMENTS)
        assert index.verify() == []
        if change == "add":
            index.add([Document("x", "cat")])
        elif change == "delete":
            index.delete("d00000")
    if change == "overwrite":
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True).close()
    assert not [name for name in LEFTOVERS if (folder / name).exists()]
    assert not (folder / "lexical" / "000009").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    with Index.open(folder) as index:
        assert index.verify() == []
