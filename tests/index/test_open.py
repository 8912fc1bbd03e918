"""Index.open: folders without an index, of another format or damaged, and a closed index."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from brute_force import make_documents
from index_folders import DOCUMENTS, list_names

from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorruptIndexError, IndexFolderError
from hpdsearch.index import Index
from hpdsearch.index.verify import find_problems
from hpdsearch.indexer.merge_policy import MergePolicy


def search_in_all_modes(folder: Path, encoder: Encoder) -> list[object]:
    with Index.open(folder, encoder=encoder) as index:
        modes = ("dense", "lexical", "hybrid")
        return [
            index.search("the old cat sleeps", k, mode=mode, where=where)
            for mode in modes
            for k in (3, 200)
            for where in (None, "half = 0")
        ]


def damage_bytes(data: bytes, how: str) -> bytes:
    at = {"first": 0, "middle": len(data) // 2, "last": len(data) - 1}.get(how.split()[0], 0)
    if how == "emptied":
        return b""
    if how == "cut":
        return data[: len(data) // 2]
    if how == "longer":
        return data + b"\0"
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.fixture
def two_segments(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    """Return the folder of an index of two segments, 100 and 70 rows, and 3 rows buffered in the catalog."""
    policy = MergePolicy(small_segment_rows=0)
    with Index.build(tmp_path / "index", make_documents(100), encoder=tiny_encoder, merge_policy=policy) as index:
        index.add(make_documents(70, first=100, seed=2))
        index.add(make_documents(3, first=170, seed=3))
        assert [segment["rows"] for segment in index.info().segments] == [100, 70]
        assert index.verify() == []
    return tmp_path / "index"


def test_without_an_index_the_error_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="no such folder; make one with: hpdsearch index"):
        Index.open(tmp_path / "none")
    with pytest.raises(IndexFolderError, match="not an hpdsearch index"):
        Index.open(tmp_path)
    assert list_names(tmp_path) == set()


def test_a_folder_without_a_catalog_is_no_index(folder: Path, tiny_encoder: Encoder) -> None:
    (folder / "catalog.sqlite").unlink()
    with pytest.raises(IndexFolderError, match="not an hpdsearch index"):
        Index.open(folder)
    with pytest.raises(IndexFolderError, match="holds other files"):
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)
    assert (folder / "vectors-000001.f16").exists()


def test_an_index_of_a_newer_format_is_refused(folder: Path, tiny_encoder: Encoder) -> None:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(IndexFolderError, match="expected format 2, got 99; a newer hpdsearch wrote it: upgrade"):
        Index.open(folder)
    with pytest.raises(IndexFolderError, match="got 99"):
        Index.build(folder, DOCUMENTS, encoder=tiny_encoder, overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["missing", "emptied", "cut", "longer", "first byte", "middle byte", "last byte"])
@pytest.mark.parametrize("name", ["vectors-000001.f16", "vectors-000002.f16", "index-000001.faiss"])
def test_damaged_vectors_are_an_error_and_verify_names_the_file(
    two_segments: Path, tiny_encoder: Encoder, name: str, how: str
) -> None:
    path = two_segments / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(damage_bytes(path.read_bytes(), how))
    with pytest.raises(CorruptIndexError, match=str(path)):
        search_in_all_modes(two_segments, tiny_encoder)
    (problem,) = find_problems(two_segments)
    assert problem.startswith(f"{path}: ")


def test_the_error_of_a_closed_index_says_so(folder: Path) -> None:
    index = Index.open(folder)
    index.close()
    index.close()
    for call in (lambda: index.search("cat"), lambda: len(index), index.info, lambda: index.count("half = 0")):
        with pytest.raises(IndexFolderError, match="was closed; open the index again"):
            call()
