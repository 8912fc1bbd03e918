"""docs/index-format.md against real folders: a second reader runs the page's code and follows its tables.

Nothing here imports the package's readers: a mistake in the page or in the code makes the two disagree.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from brute_force import make_documents

from hpdsearch.dense import Codec, IndexSpec, IndexType
from hpdsearch.dense.faiss_factory import create_index
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "index-format.md").read_text(encoding="utf-8")
CODE: dict[str, Any] = {}
for _block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
    exec(_block, CODE)


def table_after(heading: str) -> list[list[str]]:
    """Return the cells of the first table after these words of the page, without its head."""
    table = re.search(r"(?:^\|.*\n)+", PAGE[PAGE.index(heading) :], re.MULTILINE)
    assert table is not None
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table[0].splitlines()]
    return rows[2:]


COLUMNS = {table: columns.split(", ") for table, columns in table_after("## catalog.sqlite")}
META_KEYS = {key for key, _ in table_after("| key of `meta`")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Path:
    """Return a folder that today's code wrote: two segments, tombstones, buffered passages."""
    folder = tmp_path_factory.mktemp("page") / "index"
    documents = make_documents(300)
    with Index.build(folder, documents[:200], encoder=tiny_encoder) as index:
        index.add(documents[200:290])
        index.delete([document.doc_id for document in documents[20:60:3]])
        index.add(documents[290:])
        index.delete([documents[295].doc_id])
    return folder


@pytest.fixture(params=["format 2 of an earlier version", "of today"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, fresh: Path) -> Path:
    source = fresh if request.param == "of today" else ROOT / "tests" / "data" / "index-format-2" / "index"
    return Path(shutil.copytree(source, tmp_path / "index"))


@pytest.fixture
def catalog(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        yield connection


def read_meta(catalog: sqlite3.Connection) -> dict[str, Any]:
    rows = catalog.execute("SELECT key, value FROM meta WHERE key <> 'sum'")
    return {key: json.loads(value) for key, value in rows}


def read_segments(catalog: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = catalog.execute("SELECT * FROM segments ORDER BY first_row")
    return [dict(zip(COLUMNS["segments"], row, strict=True)) for row in rows]


def test_the_numbers_that_mark_the_file_are_those_of_the_page(catalog: sqlite3.Connection) -> None:
    found = re.search(r"`PRAGMA application_id` = (0x[0-9a-f]+) .* `PRAGMA user_version` = (\d+)", PAGE)
    assert found is not None
    assert catalog.execute("PRAGMA application_id").fetchone()[0] == int(found[1], 16)
    assert catalog.execute("PRAGMA user_version").fetchone()[0] == int(found[2])


def test_the_tables_columns_and_settings_equal_the_page(catalog: sqlite3.Connection) -> None:
    tables = [name for (name,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {table: [row[1] for row in catalog.execute(f"PRAGMA table_info({table})")] for table in tables}
    assert found == COLUMNS
    keys = {key for (key,) in catalog.execute("SELECT key FROM meta")}
    assert (
        META_KEYS - {"lexical_analysis", "languages", "backend", "draft"} <= keys <= META_KEYS
    )  # the first versions stored neither


def test_the_keys_of_specs_and_operating_points_are_those_of_the_page(catalog: sqlite3.Connection) -> None:
    about_spec = PAGE[PAGE.index("`spec` has these keys") : PAGE.index("`curve` holds")]
    about_curve = PAGE[PAGE.index("`curve` holds") : PAGE.index("### Checksums")]
    for spec in [read_meta(catalog)["spec"], *(json.loads(entry["spec"]) for entry in read_segments(catalog))]:
        assert set(spec) < set(re.findall(r"`(\w+)`", about_spec))
    for curve in filter(None, (json.loads(entry["curve"]) for entry in read_segments(catalog))):
        assert {*curve, *curve["points"][0]} == set(re.findall(r"`(\w+)`", about_curve)) - {"curve"}
    for entry in read_segments(catalog):
        assert entry["block_sums"] == b""
        assert "auto" not in json.loads(entry["spec"]).values()


def test_the_catalog_checksum_is_the_one_of_the_page(catalog: sqlite3.Connection) -> None:
    meta = catalog.execute("SELECT key, value FROM meta WHERE key <> 'sum'").fetchall()
    segments = catalog.execute("SELECT * FROM segments").fetchall()
    (stored,) = catalog.execute("SELECT value FROM meta WHERE key = 'sum'").fetchone()
    assert CODE["catalog_checksum"](meta, segments) == int(stored)


def test_document_checksums_are_those_of_the_page(catalog: sqlite3.Connection) -> None:
    documents = catalog.execute(f"SELECT {', '.join(COLUMNS['documents'])} FROM documents").fetchall()
    assert len(documents) > 100
    for doc, doc_id, title, text, metadata, source, text_hash, stored in documents:
        sql = "SELECT row, start, end FROM passages WHERE doc = ? ORDER BY row"
        passages = tuple(catalog.execute(sql, (doc,)).fetchall())
        assert all(0 <= start < end <= len(text) for _, start, end in passages)
        assert CODE["text_hash"](title, text) == text_hash
        assert CODE["document_checksum"](doc_id, title, text, metadata, source, passages) == stored


def test_buffered_vectors_and_their_checksums_are_those_of_the_page(catalog: sqlite3.Connection) -> None:
    meta = read_meta(catalog)
    buffered = catalog.execute("SELECT row, vector, sum FROM waiting ORDER BY row").fetchall()
    assert buffered
    assert all(CODE["vector_checksum"](row, vector) == stored for row, vector, stored in buffered)
    assert all(len(vector) == 2 * meta["dim"] for _, vector, _ in buffered)
    sql = "SELECT row FROM passages WHERE row >= ? AND row < ? ORDER BY row"
    rows = catalog.execute(sql, (meta["waiting_row"], meta["next_row"])).fetchall()
    assert rows == [(row,) for row, _, _ in buffered]


def test_row_maps_tombstones_and_passages_fit_together_as_the_page_says(catalog: sqlite3.Connection) -> None:
    on_file: list[int] = []
    for entry in read_segments(catalog):
        rows = CODE["segment_rows"](entry["first_row"], entry["end_row"], entry["row_map"])
        assert len(rows) == entry["n_rows"]
        assert (np.diff(rows) > 0).all()
        on_file += rows.tolist()
    tombstones = dict(catalog.execute("SELECT row, purged FROM tombstones").fetchall())
    assert set(tombstones.values()) <= {-1, 0, 1}
    deleted = {row for row, purged in tombstones.items() if purged >= 0}
    live = {row for (row,) in catalog.execute("SELECT row FROM passages")}
    buffered = {row for (row,) in catalog.execute("SELECT row FROM waiting")}
    assert deleted
    assert sorted(on_file) == sorted((live - buffered) | deleted)
    assert not deleted & live


def test_every_row_checksum_of_a_vectors_file_is_the_one_of_the_page(folder: Path, catalog: sqlite3.Connection) -> None:
    dim = read_meta(catalog)["dim"]
    for entry in read_segments(catalog):
        data = (folder / entry["vectors_file"]).read_bytes()
        n = entry["n_rows"]
        assert len(data) == entry["vectors_bytes"] == n * (2 * dim + 4)
        assert sha256(data).hexdigest() == entry["vectors_sha256"]
        halfwords = np.frombuffer(data, "<u2", n * dim).reshape(n, dim).tolist()
        stored = np.frombuffer(data, "<u4", n, 2 * n * dim).tolist()
        assert [CODE["row_checksum"](position, row) for position, row in enumerate(halfwords)] == stored
        lengths = np.linalg.norm(np.frombuffer(data, "<f2", n * dim).reshape(n, dim).astype(float), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_the_row_checksum_of_the_page_tells_every_halfword_and_position_apart() -> None:
    row = [1, 2, 3, 4]
    changed = [[*row[:i], row[i] ^ 1, *row[i + 1 :]] for i in range(4)]
    sums = {CODE["row_checksum"](0, one) for one in (row, *changed)} | {CODE["row_checksum"](1, row)}
    assert len(sums) == 6


def class_names(index: faiss.Index) -> str:
    """Return the class of a faiss index, behind the rotation too."""
    index = faiss.downcast_index(index)
    outer = type(index).__name__
    return f"{outer}, {class_names(index.index)}" if isinstance(index, faiss.IndexPreTransform) else outer


def test_index_files_are_the_faiss_indexes_of_the_page(folder: Path, catalog: sqlite3.Connection) -> None:
    expected = {(kind, codec): name for kind, codec, name in table_after("## index-NNNNNN.faiss")}
    for entry in read_segments(catalog):
        path, spec = folder / entry["index_file"], json.loads(entry["spec"])
        assert sha256(path.read_bytes()).hexdigest() == entry["index_sha256"]
        assert path.stat().st_size == entry["index_bytes"]
        index = faiss.read_index(str(path))
        assert (class_names(index), index.ntotal) == (expected[spec["kind"], spec["codec"]], entry["n_rows"])
        assert index.metric_type == faiss.METRIC_INNER_PRODUCT


def test_every_kind_and_codec_is_the_faiss_index_of_the_page() -> None:
    for kind, codec, expected in table_after("## index-NNNNNN.faiss"):
        index = create_index(IndexSpec(IndexType(kind), Codec(codec), nlist=4 if kind == "ivf" else 0), 6)
        assert class_names(index) == expected
    assert len(table_after("## index-NNNNNN.faiss")) == 8


def test_the_lexical_checksum_and_fields_are_those_of_the_page(folder: Path, catalog: sqlite3.Connection) -> None:
    meta = read_meta(catalog)
    lexical = json.loads((folder / meta["lexical"] / "meta.json").read_bytes())
    assert CODE["lexical_checksum"](lexical) == meta["lexical_sum"]
    assert lexical["opstamp"] == meta["lexical_opstamp"]
    section = PAGE[PAGE.index("## lexical/") :]
    fields = {field["name"]: field["options"] for field in lexical["schema"]}
    assert set(fields) == set(re.findall(r"`(\w+)` \(", section))
    assert fields["body"]["indexing"]["tokenizer"] in section
