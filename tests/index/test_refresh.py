"""Index.refresh: an open index takes over what others have committed. Index.get: one document by its doc_id."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from brute_force import make_documents
from index_folders import DOCUMENTS, find_texts, get_texts

from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError
from hpdsearch.index import Index
from hpdsearch.records import Document

NEW = [Document("new", "the cat sings in the moon boat")]


def test_refresh_opens_the_commits_of_another_object_and_nothing_else(folder: Path, tiny_encoder: Encoder) -> None:
    with Index.open(folder, encoder=tiny_encoder) as reader, Index.open(folder, encoder=tiny_encoder) as writer:
        assert not reader.refresh()
        writer.add(NEW)
        assert find_texts(reader) == get_texts(DOCUMENTS)
        assert reader.refresh()
        assert not reader.refresh()
        assert find_texts(reader) == get_texts([*DOCUMENTS, *NEW])
        writer.delete("new")
        assert reader.refresh()
        assert find_texts(reader) == get_texts(DOCUMENTS)
        assert not writer.refresh(), "an index has opened its own commits already"


def test_refresh_opens_the_commits_of_another_process(folder: Path, tiny_folder: Path) -> None:
    with Index.open(folder) as reader:
        assert not reader.refresh()
        code = f"from hpdsearch import Index; Index.open({str(folder)!r}).delete([{DOCUMENTS[0].doc_id!r}])"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert reader.refresh()
        assert find_texts(reader) == get_texts(DOCUMENTS[1:])


def test_refresh_opens_another_index_that_took_the_place_of_the_folder(folder: Path, tiny_encoder: Encoder) -> None:
    others = make_documents(12, seed=5, first=100)
    with Index.open(folder, encoder=tiny_encoder) as reader:
        reader.refresh()
        Index.build(folder.with_name("other"), others, encoder=tiny_encoder).close()
        folder.rename(folder.with_name("old"))
        with pytest.raises(IndexFolderError):
            reader.refresh()
        assert find_texts(reader) == get_texts(DOCUMENTS), "after a failure it answers as before"
        folder.with_name("other").rename(folder)
        assert reader.refresh(), "also if both have the same number of commits"
        assert find_texts(reader) == get_texts(others)
        shutil.rmtree(folder.with_name("old"))


def test_an_index_that_is_refreshed_while_it_writes_ends_with_its_last_commit(
    folder: Path, tiny_encoder: Encoder
) -> None:
    with Index.open(folder, encoder=tiny_encoder) as index:
        done = threading.Event()
        errors: list[BaseException] = []

        def refresh() -> None:
            try:
                while not done.is_set():
                    index.refresh()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=refresh)
        thread.start()
        try:
            for number in range(30):
                index.add([Document("counter", f"the cat sings {number}")])
                (hit,) = index.search("sings", 1, mode="lexical")
                assert hit.text == f"the cat sings {number}"
        finally:
            done.set()
            thread.join()
        assert not errors


def test_get_returns_the_document_that_was_added(folder: Path, tiny_encoder: Encoder) -> None:
    document = Document("17", "the cat sings", "a title", {"year": 2020, "tags": ["a", "b"]})
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert index.get(17) is None
        index.add([document])
        assert index.get(17) == index.get("17") == document
        assert index.get("\udc80") is None
