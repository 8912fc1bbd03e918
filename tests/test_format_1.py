"""A folder of format 1, as hpdsearch 0.1 made it, opens for ever and can be carried on.

tests/data/index-format-1 holds 130 documents, most of WordNet, beside a list of them: three segments (119 rows with
inverted lists, 14 and 5 flat ones), one document of several passages, deleted and replaced ones; encoder static, cut to
16 numbers. The commit before format 2 made it (40e9b08).
"""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document

DATA = Path(__file__).parent / "data" / "index-format-1"
QUERIES = ("a woody plant that climbs", "not moving", "people who govern", "cat")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load("static")


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    """Return what the folder holds, by doc_id."""
    listed = json.loads((DATA / "documents.json").read_text(encoding="utf-8"))
    return {doc_id: Document(doc_id, **values) for doc_id, values in listed.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "index", tmp_path / "index"))


def contents(index: Index) -> dict[str, tuple[object, ...]]:
    hits = index.search("plant", 1000, mode="dense")
    assert len(hits) == len(index) == len({hit.doc_id for hit in hits})
    return {hit.doc_id: (hit.title, hit.text, hit.metadata) for hit in hits}


def expected(documents: dict[str, Document]) -> dict[str, tuple[object, ...]]:
    return {key: (document.title, document.text, document.metadata) for key, document in documents.items()}


def cosines_by_document(folder: Path, query: np.ndarray) -> dict[str, float]:
    """Work out the cosine of each document's best passage from the files: plain SQL, plain numpy."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        doc_ids = dict(connection.execute("SELECT row, doc_id FROM passages JOIN documents USING (doc)").fetchall())
        segments = connection.execute("SELECT first_row, n_rows, vectors_file FROM segments").fetchall()
    best: dict[str, float] = {}
    for first_row, n_rows, name in segments:
        vectors = np.fromfile(folder / name, "<f2").reshape(n_rows, len(query)).astype(np.float64)
        for row, score in enumerate(vectors @ query / np.linalg.norm(vectors, axis=1), start=first_row):
            if row in doc_ids:
                best[doc_ids[row]] = max(best.get(doc_ids[row], -2.0), float(score))
    return best


def test_it_opens_whole_and_reading_changes_no_byte(
    folder: Path, encoder: Encoder, documents: dict[str, Document]
) -> None:
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with Index.open(folder, encoder=encoder) as index:
        assert contents(index) == expected(documents)
        assert index.verify() == []
        assert (index.info().format, index.info().n_deleted) == (1, 5)
        assert {hit.doc_id for hit in index.search("moving", 100, where="pos = 'adj'")} < documents.keys()
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("query", QUERIES)
def test_dense_search_finds_what_brute_force_over_its_files_finds(folder: Path, encoder: Encoder, query: str) -> None:
    scores = cosines_by_document(folder, encoder.truncate(16).encode([query])[0].astype(np.float64))
    with Index.open(folder, encoder=encoder) as index:
        hits = index.search(query, 10, mode="dense")
    assert [hit.doc_id for hit in hits] == sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))[:10]
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.doc_id] for hit in hits], abs=1e-6)


@pytest.mark.parametrize("word", ["bonsai", "emoji", "definition", "climb", "two"])
def test_lexical_search_finds_the_documents_of_a_word(folder: Path, documents: dict[str, Document], word: str) -> None:
    with Index.open(folder) as index:
        found = {hit.doc_id for hit in index.search(word, 100, mode="lexical")}
    beginning = re.compile(rf"\b{word}", re.IGNORECASE)  # none of these words begins that of another stem
    assert found == {d.doc_id for d in documents.values() if beginning.search(f"{d.title} {d.text}")} != set()


def test_it_can_be_added_to_deleted_from_and_compacted(
    folder: Path, encoder: Encoder, documents: dict[str, Document]
) -> None:
    replaced, gone = "same a", ["long", "odd/id 漢字"]
    added = [Document("new", "A plant of a newer format.", metadata={"pos": "noun"}), Document(replaced, "Replaced.")]
    now = {key: value for key, value in documents.items() if key not in gone} | {d.doc_id: d for d in added}
    with Index.open(folder, encoder=encoder) as index:
        index.add(added)
        assert contents(index) == expected(documents | {d.doc_id: d for d in added})
        index.delete(gone)
        assert contents(index) == expected(now)
        assert index.verify() == []
        index.compact()
        assert contents(index) == expected(now)
        assert index.verify() == []
        assert (index.info().format, index.info().n_deleted, len(index.info().segments)) == (2, 0, 1)
    with Index.open(folder, encoder=encoder) as index:
        assert contents(index) == expected(now)
        assert [hit.doc_id for hit in index.search("newer format", mode="lexical")] == ["new"]
        query = encoder.truncate(16).encode([QUERIES[0]])[0].astype(np.float64)
        scores = cosines_by_document(DATA / "index", query)
        best = index.search(QUERIES[0], 200, mode="dense")
        kept = {hit.doc_id: hit.score for hit in best if hit.doc_id not in ("new", replaced)}
        assert kept == pytest.approx({key: scores[key] for key in kept}, abs=1e-6)
        assert len(kept) == len(documents) - 3
