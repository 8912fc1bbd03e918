"""Merging, compaction and reindexing leave few segments and lose nothing but tombstoned rows."""

import random
from pathlib import Path

import numpy as np
import pytest
from brute_force import make_documents, read_passages

from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document


@pytest.mark.slow
def test_documents_added_one_by_one_are_all_found(tmp_path: Path, tiny_encoder: Encoder) -> None:
    policy = MergePolicy(small_segment_rows=8, max_buffered_rows=5)
    rng = random.Random(5)
    stored: dict[str, str] = {}
    with Index.build(tmp_path / "index", make_documents(3), encoder=tiny_encoder, merge_policy=policy) as index:
        stored = {document.doc_id: document.text for document in make_documents(3)}
        for document in make_documents(150, first=3, seed=1):
            if rng.random() < 0.3:
                document = Document(rng.choice(sorted(stored)), document.text)
            index.add([document])
            stored[document.doc_id] = document.text
            if rng.random() < 0.2 and len(stored) > 5:
                gone = rng.choice(sorted(stored))
                index.delete(gone)
                del stored[gone]
        assert read_passages(tmp_path / "index", tiny_encoder).keys() == set(stored.items())
        assert {hit.doc_id: hit.text for hit in index.search("cat", 1000, mode="dense")} == stored
        described = index.info()
        assert 1 < len(described.segments) < 9
        assert described.n_deleted < len(stored)
        assert index.verify() == []


def test_compaction_leaves_one_segment_no_tombstoned_row_and_no_deleted_text(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    folder = tmp_path / "index"
    with Index.build(folder, make_documents(600), encoder=tiny_encoder) as index:
        index.add([Document("secret", "zebrasecret queen of the moon")])
        index.add(make_documents(300, first=500, seed=2))
        index.delete(["secret", *(document.doc_id for document in make_documents(50))])
        before = {hit.doc_id: (hit.text, hit.score) for hit in index.search("queen", 2000, mode="dense")}
        vectors = read_passages(folder, tiny_encoder)
        index.compact()
        assert {hit.doc_id: (hit.text, hit.score) for hit in index.search("queen", 2000, mode="dense")} == before
        after = read_passages(folder, tiny_encoder)
        assert after.keys() == vectors.keys()
        assert all(np.array_equal(after[key], vectors[key]) for key in vectors)  # bit by bit
        described = index.info()
        assert (len(described.segments), described.n_deleted) == (1, 0)
        assert index.search("zebrasecret", mode="lexical") == []
        assert index.verify() == []
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"zebrasecret" not in everything


def test_deleting_everything_leaves_an_index_that_can_be_added_to(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with Index.build(tmp_path / "index", make_documents(400), encoder=tiny_encoder) as index:
        index.delete([document.doc_id for document in make_documents(400)])
        assert index.info().segments == []  # all rows are tombstoned: the segment is dropped at once
        assert index.search("cat") == []
        index.compact()
        index.add([Document("new", "cat")])
        assert [hit.doc_id for hit in index.search("cat")] == ["new"]
        assert index.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ])
def test_reindexing_changes_the_codes_and_not_the_answers(tmp_path: Path, tiny_encoder: Encoder, codec: Codec) -> None:
    folder = tmp_path / "index"
    with Index.build(folder, make_documents(2_500), encoder=tiny_encoder) as index:
        vectors = (folder / "vectors-000001.f16").read_bytes()
        before = [hit.score for hit in index.search("queen of the iron river", 10, mode="dense")]
        index.reindex(IndexSpec(Kind.FLAT, codec, ann_recall=1.0))
        (segment,) = index.info().segments
        assert (segment["kind"], segment["codec"]) == ("flat", codec.value)
        assert index.info().spec["codec"] == codec.value
        assert [
            hit.score for hit in index.search("queen of the iron river", 10, mode="dense", ann_recall=1.0)
        ] == before
        assert (folder / "vectors-000001.f16").read_bytes() == vectors
        assert index.verify() == []
    with Index.open(folder, encoder=tiny_encoder) as index:
        assert [
            hit.score for hit in index.search("queen of the iron river", 10, mode="dense", ann_recall=1.0)
        ] == before
