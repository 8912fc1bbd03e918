"""A folder of format 2, the first released one, opens for ever, gives the same answers, and can be changed.

Commit 5e25eed wrote tests/data/index-format-2 (encoder static, truncated to 16 dimensions): three segments of 119 rows
(ivf pq with operating points), 45 (flat pq, rewritten by a merge, so that its row map has gaps) and 6, five buffered
passages, and tombstones of all three kinds. IVF_MINIMUM, MEASURED_ROWS and the sizes of a small segment and of the
buffer were lowered for it. documents.json lists the 167 documents; expected.json holds query vectors and that commit's
answers in dense and lexical mode; lexical queries hold no words that later versions leave out as stop words. Hybrid
scores may change between versions: their formula belongs to no format.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hpdsearch.catalog import CatalogWriter
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import Encoder
from hpdsearch.errors import IndexFolderError
from hpdsearch.index import Index, Mode
from hpdsearch.records import Document
from hpdsearch.search import open_snapshot, search

DATA = Path(__file__).parents[1] / "data" / "index-format-2"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
VECTORS = {text: np.array(vector, np.float32) for text, vector in EXPECTED["vectors"].items()}
ANSWERS = EXPECTED["answers"]
Contents = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load("static")


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    """Return the documents of the folder by doc_id."""
    listed = json.loads((DATA / "documents.json").read_text(encoding="utf-8"))
    return {doc_id: Document(doc_id, **values) for doc_id, values in listed.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "index", tmp_path / "index"))


def bytes_by_file(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def contents(index: Index) -> Contents:
    hits = index.search("plant", 1000, mode="dense")
    assert len(hits) == len(index) == len({hit.doc_id for hit in hits})
    return {hit.doc_id: (hit.title, hit.text, hit.metadata) for hit in hits}


def expected_contents(documents: dict[str, Document]) -> Contents:
    return {key: (document.title, document.text, document.metadata) for key, document in documents.items()}


def stored_vector(texts: Sequence[str]) -> Matrix:
    """Return the vector that the old encoder gave for a query, so that the answers do not depend on today's."""
    return np.stack([VECTORS[text] for text in texts])


def known_words(text: str) -> set[str]:
    """Name all words, so that none is rare."""
    return set(text.split())


QUERY_ENCODER = stored_vector, stored_vector, known_words


def cosines_by_document(folder: Path, query: np.ndarray) -> dict[str, float]:
    """Compute the cosine of each document's best passage from the files: plain SQL and numpy in float64."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        doc_ids = dict(connection.execute("SELECT row, doc_id FROM passages JOIN documents USING (doc)").fetchall())
        buffered = connection.execute("SELECT row, vector FROM waiting").fetchall()
        segments = connection.execute("SELECT vectors_file, n_rows FROM segments ORDER BY first_row").fetchall()
        tombstones = connection.execute("SELECT row FROM tombstones WHERE purged >= 0").fetchall()
    size = 2 * len(query)
    stored = b"".join((folder / name).read_bytes()[: n_rows * size] for name, n_rows in segments)
    # The rows on file, ascending, are all that are not buffered: the live ones and the tombstoned ones.
    rows = sorted({*doc_ids, *(row for (row,) in tombstones)} - {row for row, _ in buffered})
    rows += [row for row, _ in buffered]
    stored += b"".join(vector for _, vector in buffered)
    vectors = np.frombuffer(stored, "<f2").reshape(len(rows), len(query)).astype(np.float64)
    best: dict[str, float] = {}
    for row, score in zip(rows, vectors @ query / np.linalg.norm(vectors, axis=1), strict=True):
        if row in doc_ids:
            best[doc_ids[row]] = max(best.get(doc_ids[row], -2.0), float(score))
    return best


def test_the_folder_holds_every_feature_of_the_format() -> None:
    with closing(sqlite3.connect(f"file:{DATA / 'index' / 'catalog.sqlite'}?immutable=1", uri=True)) as connection:
        segments = connection.execute("SELECT n_rows, row_map <> x'', spec, curve <> 'null' FROM segments").fetchall()
        purged = {value for (value,) in connection.execute("SELECT purged FROM tombstones")}
        n_buffered = connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
    assert [(n, gaps, json.loads(spec)["kind"], curve) for n, gaps, spec, curve in segments] == [
        (119, 0, "ivf", 1),
        (45, 1, "flat", 0),
        (6, 0, "flat", 0),
    ]
    assert (purged, n_buffered) == ({-1, 0, 1}, 5)


def test_it_opens_it_verifies_and_reading_changes_no_byte(
    folder: Path, encoder: Encoder, documents: dict[str, Document]
) -> None:
    before = bytes_by_file(folder)
    with Index.open(folder, encoder=encoder) as index:
        assert contents(index) == expected_contents(documents)
        assert index.verify() == []
        assert (index.info().format, index.info().n_deleted, index.info().n_buffered) == (2, 5, 5)
    assert bytes_by_file(folder) == before


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: f"{a['mode']}, {a['query']}{', filtered' * bool(a['where'])}")
def test_search_returns_the_hits_of_the_version_that_wrote_it(folder: Path, answer: dict[str, object]) -> None:
    state = open_snapshot(folder)
    query = str(answer["query"])
    hits = search(state, [query], *QUERY_ENCODER, k=10, mode=Mode(answer["mode"]), where=answer["where"])[0]  # type: ignore[arg-type]
    state.catalog.close()
    assert [[hit.doc_id, pytest.approx(hit.score, abs=1e-6)] for hit in hits] == answer["hits"]


@pytest.mark.parametrize("query", VECTORS)
def test_dense_search_finds_what_brute_force_over_its_files_finds(folder: Path, query: str) -> None:
    scores = cosines_by_document(folder, VECTORS[query].astype(np.float64))
    state = open_snapshot(folder)
    hits = search(state, [query], *QUERY_ENCODER, k=200, mode=Mode.DENSE)[0]
    state.catalog.close()
    assert len(hits) == len(scores) == 167
    assert {hit.doc_id: hit.score for hit in hits} == pytest.approx(scores, abs=1e-6)
    assert [hit.doc_id for hit in hits] == sorted(scores, key=lambda doc_id: (-round(scores[doc_id], 7), doc_id))


@pytest.mark.parametrize("word", ["plant", "emoji", "definition", "replaced", "two"])
def test_lexical_search_finds_the_documents_of_a_word(folder: Path, documents: dict[str, Document], word: str) -> None:
    with Index.open(folder) as index:
        found = {hit.doc_id for hit in index.search(word, 100, mode="lexical")}
    beginning = re.compile(rf"\b{word}", re.IGNORECASE)  # none of these words begins that of another stem
    assert found == {d.doc_id for d in documents.values() if beginning.search(f"{d.title} {d.text}")} != set()


def test_it_can_be_added_to_deleted_from_and_compacted(
    folder: Path, encoder: Encoder, documents: dict[str, Document]
) -> None:
    gone = ["long", "odd/id 漢字"]
    added = [Document("new", "A plant of a newer version.", metadata={"pos": "noun"}), Document("same a", "Replaced.")]
    now = {key: value for key, value in documents.items() if key not in gone} | {d.doc_id: d for d in added}
    with Index.open(folder, encoder=encoder) as index:
        index.add(added)
        assert contents(index) == expected_contents(documents | {d.doc_id: d for d in added})
        index.delete(gone)
        assert contents(index) == expected_contents(now)
        assert index.verify() == []
        index.compact()
        assert contents(index) == expected_contents(now)
        assert index.verify() == []
        info = index.info()
        assert (info.format, info.n_deleted, info.n_buffered, len(info.segments)) == (2, 0, 0, 1)
    with Index.open(folder, encoder=encoder) as index:
        assert contents(index) == expected_contents(now)
        assert [hit.doc_id for hit in index.search("newer version", mode="lexical")] == ["new"]
    state = open_snapshot(folder)
    query = next(iter(VECTORS))
    hits = search(state, [query], *QUERY_ENCODER, k=200, mode=Mode.DENSE)[0]
    state.catalog.close()
    scores = cosines_by_document(DATA / "index", VECTORS[query].astype(np.float64))
    unchanged = {hit.doc_id: hit.score for hit in hits if hit.doc_id not in ("new", "same a")}
    assert unchanged == pytest.approx({key: scores[key] for key in unchanged}, abs=1e-6)
    assert len(unchanged) == len(documents) - 3


def test_its_lexical_index_keeps_its_analysis_until_it_is_compacted(folder: Path, encoder: Encoder) -> None:
    def find(index: Index, query: str) -> set[str]:
        return {hit.doc_id for hit in index.search(query, 100, mode="lexical")}

    words = ["plant", "emoji", "two"]
    with Index.open(folder, encoder=encoder) as index:
        before = [find(index, word) for word in words]
        index.add([Document("one run", "昨夜发生强烈震动"), Document("soft", "inter\u00adnational")])  # buffered
        for _ in range(2):
            assert [find(index, word) for word in words] == before
            # Words are runs of letters here, and the query is split in the same way.
            assert find(index, "震动") == find(index, "international") == set()
            assert find(index, "昨夜发生强烈震动") == {"one run"}
            assert find(index, "inter") == {"soft"}
            index.add([Document(f"more {i}", "text") for i in range(700)])  # now in the folder
        assert index.verify() == []
        index.compact()
        assert [find(index, word) for word in words] == before
        assert find(index, "震动") == {"one run"}
        assert find(index, "international") == {"soft"}
        assert find(index, "inter") == set()
        index.add([Document("another", "震动")])
        assert find(index, "震动") == {"one run", "another"}
        assert index.verify() == []


def test_a_lexical_index_of_a_newer_analysis_is_refused(folder: Path) -> None:
    with closing(CatalogWriter.open(folder)) as catalog:
        catalog.set_meta(lexical_analysis=99)
        catalog.commit()
    with pytest.raises(IndexFolderError, match=r"expected lexical analysis 1\.\.3, got 99; a newer hpdsearch wrote it"):
        Index.open(folder)
