"""Index.info: counts, settings and sizes of an index."""

import json
from collections import Counter
from pathlib import Path

from brute_force import make_documents

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document


def test_info_describes_the_index(folder: Path, tiny_encoder: Encoder, tiny_folder: Path) -> None:
    with Index.open(folder) as index:
        index.add(make_documents(100, seed=4, first=25))  # too many to be buffered in the catalog
        index.delete("d00000")
        info = index.info()
        json.dumps(info.as_dict())
    assert (info.n_documents, info.n_passages, info.n_deleted, info.generation) == (124, 124, 1, 3)
    assert (info.format, info.spec["kind"], info.spec["codec"]) == (2, "auto", "auto")
    assert info.fields == ["half", "hundredth", "number", "tenth"]
    assert (info.encoder, info.encoder_sha256) == (str(tiny_folder.absolute()), tiny_encoder.sha256)
    assert (info.space, info.dim) == (tiny_encoder.space, 16)
    assert [segment["rows"] for segment in info.segments] == [125]  # 25 come from the merged small segment
    assert [segment["operating_points"] for segment in info.segments] == [None]
    assert info.disk_bytes["vectors"] == 125 * (16 * 2 + 4) == sum(path.stat().st_size for path in folder.glob("*.f16"))
    assert info.disk_bytes["codes"] == sum(path.stat().st_size for path in folder.glob("*.faiss"))
    assert info.disk_bytes["lexical"] == sum(path.stat().st_size for path in folder.glob("lexical/*/*"))
    assert info.disk_bytes["documents"] >= (folder / "catalog.sqlite").stat().st_size
    assert 125 * 16 <= info.memory_bytes < 125 * 16 + 500  # sq8: a byte per dimension, and the bounds of each
    assert info.teacher_memory_bytes == 124 * 768 * 4


def test_frequent_values_are_those_of_a_count_over_the_metadata(folder: Path, tiny_encoder: Encoder) -> None:
    documents = make_documents(100, seed=4, first=25)
    documents.append(Document("long", "the cat", metadata={"tenth": "x" * 201, "tags": ["a", "b", "a"]}))
    with Index.open(folder, encoder=tiny_encoder) as index:
        index.add(documents)
        stored = [index.get(f"d{number:05d}") for number in range(125)]
        counts = Counter(str(document.metadata["tenth"]) for document in stored if document is not None)
        expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        assert index.frequent_values("tenth", 3) == expected[:3]
        assert index.frequent_values("tenth", 1000) == expected
        assert index.frequent_values("tags") == [("a", 1), ("b", 1)]
        assert index.frequent_values("none") == []
        assert index.fields() == ["half", "hundredth", "number", "tags", "tenth"]
