"""A damaged catalog leads to an error or a problem, never to another exception or a wrong answer."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from catalogs import DOCUMENTS, SEGMENT, execute, write

from hpdsearch.catalog import FILE_NAME, Catalog, CatalogWriter
from hpdsearch.errors import CorruptIndexError, IndexFolderError
from hpdsearch.records import Document


def test_a_missing_table_is_corruption(folder):
    execute(folder, "DROP TABLE passages")
    with pytest.raises(CorruptIndexError, match=r"the tables \['passages'\] are missing; restore it, or index again"):
        Catalog.open(folder)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE documents SET text = 'First text' WHERE doc = 0",
        "UPDATE documents SET text = CAST(text AS BLOB) WHERE doc = 0",
        "UPDATE documents SET text = CAST(x'ff' || 'database is locked' AS TEXT) WHERE doc = 0",
        "UPDATE documents SET title = '' WHERE doc = 0",
        "UPDATE documents SET doc_id = 'A' WHERE doc = 0",
        "UPDATE documents SET source = 'c.jsonl:9' WHERE doc = 0",
        "UPDATE documents SET sum = sum + 1 WHERE doc = 0",
        "UPDATE documents SET sum = 'x' WHERE doc = 0",
        """UPDATE documents SET metadata = '{"n": 1, "lang":"en"}' WHERE doc = 0""",
        "UPDATE documents SET metadata = '{' WHERE doc = 0",
        "UPDATE passages SET end = end - 1 WHERE doc = 0",
        "UPDATE passages SET start = 'x' WHERE doc = 0",
        "UPDATE passages SET row = 44 WHERE doc = 0",
        "UPDATE passages SET doc = 1 WHERE doc = 0",
        "DELETE FROM passages WHERE doc = 0",
    ],
)
def test_an_altered_document_raises_and_the_others_are_read(folder, statement):
    execute(folder, statement)
    catalog = Catalog.open(folder)
    with pytest.raises(CorruptIndexError, match=f"{folder / FILE_NAME}: .*restore it, or index again"):
        catalog.documents([0])
    with pytest.raises(CorruptIndexError):
        list(catalog.all_documents())
    assert catalog.documents([2])[2].document == DOCUMENTS[2]
    assert isinstance(catalog.find_problems(), list)
    catalog.close()


ATTRIBUTES = "the attributes that filters use do not match the documents' metadata"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE attributes SET number = 3 WHERE doc = 0 AND field = 'n'", ATTRIBUTES),
        ("UPDATE attributes SET number = NULL WHERE doc = 0 AND field = 'n'", ATTRIBUTES),
        ("UPDATE attributes SET text = 'EN' WHERE doc = 0 AND field = 'lang'", ATTRIBUTES),
        ("UPDATE attributes SET field = 'm' WHERE doc = 0 AND field = 'n'", ATTRIBUTES),
        ("UPDATE attributes SET doc = 2 WHERE doc = 0 AND field = 'n'", ATTRIBUTES),
        ("DELETE FROM attributes WHERE doc = 0", ATTRIBUTES),
        ("INSERT INTO attributes VALUES ('n', '7', 7, 0)", ATTRIBUTES),
        ("""UPDATE documents SET metadata = '{"n": 2}' WHERE doc = 0""", ATTRIBUTES),
        ("UPDATE documents SET metadata = '{' WHERE doc = 0", "expected JSON, got '{'; restore it, or index again"),
        ("UPDATE documents SET metadata = 5 WHERE doc = 0", ATTRIBUTES),
        ("UPDATE documents SET metadata = CAST(x'ff' AS TEXT) WHERE doc = 0", "SQLite cannot read it"),
        ("UPDATE passages SET doc = 77 WHERE doc = 0", "1 passages belong to no document"),
        ("DELETE FROM documents WHERE doc = 0", "1 passages belong to no document"),
    ],
)
def test_find_problems_names_inconsistent_rows(folder, statement, problem):
    execute(folder, statement)
    catalog = Catalog.open(folder)
    problems = catalog.find_problems()
    catalog.close()
    assert any(line.startswith(f"{folder / FILE_NAME}: ") and problem in line for line in problems), problems


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = '2'",
        "UPDATE meta SET value = '{'",
        "UPDATE meta SET key = 'eneration' WHERE key = 'generation'",
        "DELETE FROM meta WHERE key = 'generation'",
        "INSERT INTO meta VALUES ('dim', '4')",
        "UPDATE segments SET first_row = 1",
        "UPDATE segments SET spec = CAST(spec AS BLOB)",
        "UPDATE segments SET block_sums = x'00'",
        "DELETE FROM segments",
    ],
)
def test_altered_settings_and_segments_are_corruption(folder, statement):
    writer = CatalogWriter.open(folder)
    writer.add_segment(SEGMENT)
    writer.commit()
    writer.close()
    execute(folder, statement)
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(
            CorruptIndexError, match="its settings or segments do not match their checksum; restore it, or index"
        ):
            opened.open(folder)


def read_all(folder):
    """Return the contents of a catalog, or the kind of the error or problem."""
    try:
        catalog = Catalog.open(folder)
    except IndexFolderError as error:
        return str(error)
    try:
        if problems := catalog.find_problems():
            return problems[0]
        return (
            [catalog.meta().get(key) for key in ("generation", "name", "dim", "spec")],
            [(s.doc, s.document, s.passages) for s in catalog.all_documents()],
            [s.__dict__ for s in catalog.segments()],
            (catalog.tombstones().tolist(), catalog.n_documents(), catalog.n_passages(), catalog.fields()),
            [catalog.rows_where(where).tolist() for where in ("n >= 10", "n is null or lang = 'de'", "x.y < 3")],
            (catalog.doc_numbers(["id3", "id11"]), catalog.docs_of_rows(np.arange(20))),
        )
    except CorruptIndexError as error:
        return str(error)
    finally:
        catalog.close()


@pytest.fixture(scope="module")
def folder_of_twelve(tmp_path_factory):
    documents = [
        Document(f"id{i}", f"text {i} é😀 " * 9, f"title {i}", {"n": i, "lang": "de", "x": {"y": i / 3}}, f"c:{i}")
        for i in range(12)
    ]
    folder = write(tmp_path_factory.mktemp("catalogs") / "twelve", documents)
    writer = CatalogWriter.open(folder)
    writer.add_segment(SEGMENT)
    writer.set_meta(name="minilm", dim=128, spec={"kind": "flat"})
    writer.commit()
    writer.close()
    return folder


def test_a_flipped_bit_is_an_error_a_problem_or_harmless(folder_of_twelve, tmp_path):
    """The bits are in used and in unused bytes. Another exception or a wrong answer never comes."""
    folder = Path(shutil.copytree(folder_of_twelve, tmp_path / "copy"))
    path, expected, rng = folder / FILE_NAME, read_all(folder_of_twelve), random.Random(0)
    data = path.read_bytes()
    used = [at for at, byte in enumerate(data) if byte]
    n_found = 0
    for at in [*rng.sample(used, 300), *rng.sample(range(len(data)), 50), *range(100)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.randrange(8)
        for file in folder.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        got = read_all(folder)
        assert got == expected or (isinstance(got, str) and str(folder) in got), f"byte {at}: {got}"
        n_found += got != expected
    assert n_found > 200


def test_a_truncated_catalog_is_an_error_or_a_problem(folder_of_twelve, tmp_path):
    data = (folder_of_twelve / FILE_NAME).read_bytes()
    for length in (1, 99, 100, 4095, 4096, 8192, len(data) // 2, len(data) - 4096, len(data) - 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(data[:length])
        got = read_all(folder)
        padding = length == len(data) - 1 and got == read_all(folder_of_twelve)  # of the last page
        assert padding or (isinstance(got, str) and str(folder) in got), length
