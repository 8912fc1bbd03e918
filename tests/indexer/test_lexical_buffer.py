"""Lexical rows are buffered in the catalog and written later; searches find them in both."""

from pathlib import Path

import pytest
from brute_force import make_documents

from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorruptIndexError
from hpdsearch.index import Index
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.lexical import LexicalReader
from hpdsearch.records import Document


@pytest.fixture
def index(tmp_path: Path, tiny_encoder: Encoder) -> Index:
    """Return the folder of an index of 100 documents whose lexical rows are on disk."""
    return Index.build(tmp_path / "index", make_documents(100), encoder=tiny_encoder)


def find_doc_ids(index: Index, word: str) -> list[str]:
    return [hit.doc_id for hit in index.search(word, 100, mode="lexical")]


def rows_on_disk(index: Index) -> int:
    (folder,) = (index.folder / "lexical").iterdir()
    return LexicalReader(folder).n_rows


def test_few_new_passages_are_buffered_and_found(index: Index) -> None:
    index.add([Document("new", "zebra one")])
    assert rows_on_disk(index) == 100
    assert find_doc_ids(index, "zebra") == ["new"]
    index.add([Document(f"n{i}", "zebra") for i in range(64)])
    assert rows_on_disk(index) == 165
    assert len(find_doc_ids(index, "zebra")) == 65
    assert index.verify() == []


def test_buffered_passages_are_written_when_many_deleted_rows_are_purged(index: Index) -> None:
    index.merge_policy = MergePolicy(max_unpurged_rows=2)
    index.add([Document("d00001", "zebra"), Document("d00002", "zebra"), Document("d00003", "zebra")])
    assert rows_on_disk(index) == 100  # three deleted rows fewer, three new ones more
    assert find_doc_ids(index, "zebra") == ["d00001", "d00002", "d00003"]
    assert index.verify() == []


def test_a_buffered_passage_that_is_replaced_or_deleted_is_not_found(index: Index) -> None:
    index.add([Document("new", "zebra")])
    index.add([Document("new", "giraffe")])
    index.add([Document("other", "zebra")])
    index.delete("other")
    assert find_doc_ids(index, "zebra") == []
    assert find_doc_ids(index, "giraffe") == ["new"]
    index.add([Document(f"n{i}", "okapi") for i in range(70)])
    assert find_doc_ids(index, "zebra") == []
    assert find_doc_ids(index, "giraffe") == ["new"]
    assert rows_on_disk(index) == 171
    assert index.verify() == []


@pytest.mark.parametrize("written", ['"max_doc": 1', '"num_deleted_docs": 1', '"fieldnorms": true', '"opstamp": 1'])
def test_an_altered_list_of_lexical_files_is_corruption(index: Index, written: str) -> None:
    """BM25 weights depend on the counts and settings in meta.json, which Tantivy's own checksums do not cover."""
    index.merge_policy = MergePolicy(max_unpurged_rows=0)
    index.delete("d00001")
    assert index.verify() == []
    (path,) = index.folder.glob("lexical/*/meta.json")
    meta = path.read_text()
    assert written in meta
    path.write_text(meta.replace(written, written.replace("1", "9").replace("norms", "normr")))
    with pytest.raises(CorruptIndexError, match=r"lexical/000001/.*does not match its checksum"):
        Index.open(index.folder)
    assert index.verify() != []
