import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdsearch.catalog import FILE_NAME, FORMAT, Catalog, CatalogWriter, SegmentEntry
from hpdsearch.errors import CorruptIndexError, FilterError, IndexFolderError
from hpdsearch.records import Document, Passage

SEGMENT = SegmentEntry(
    3, 0, 7, 5, b"\x17\x00\xff\n", "v.f16", 70, "ab", "i.faiss", 99, "cd", {"kind": "flat", "nlist": 0}, {"n": 1}
)


def whole(document):
    return document, [Passage(0, len(document.text))]


def write(folder, documents, *, first_row=0, clear=True):
    """Commit documents, of one passage each."""
    folder.mkdir(exist_ok=True)
    writer = CatalogWriter.open(folder)
    if clear:
        writer.clear()
        writer.set_meta(generation=1)
    writer.insert([whole(document) for document in documents], first_row)
    writer.commit()
    writer.close()
    return folder


def read(folder):
    """Every document in a folder, and what problems() says."""
    catalog = Catalog.open(folder)
    try:
        return [stored.document for stored in catalog.all_documents()], catalog.find_problems()
    finally:
        catalog.close()


DOCUMENTS = [
    Document("a", "first text", "Title", {"n": 1, "lang": "en"}, "c.jsonl:1"),
    Document("b", "second text é😀", "", {"n": 2, "lang": ["de", "fr"], "x": {"y": True}}, "c.jsonl:2"),
    Document("c", "the disk is full and the database is locked", "", {}, ""),
]


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "catalog", DOCUMENTS)


@pytest.fixture
def catalog(folder):
    catalog = Catalog.open(folder)
    yield catalog
    catalog.close()


# ---- what is written is read

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
RECORDS = st.lists(
    st.builds(Document, TEXT, TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=4), TEXT),
    unique_by=lambda document: document.doc_id,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(RECORDS)
def test_documents_come_back_as_they_went_in(documents):
    with tempfile.TemporaryDirectory() as name:
        found, problems = read(write(Path(name), documents))
    assert found == documents
    assert json.dumps([d.metadata for d in found]) == json.dumps([d.metadata for d in documents])  # 1, 1.0 and true
    assert problems == []


@pytest.mark.parametrize(
    ("metadata", "stored"),
    [
        ({"x": -0.0, "y": "-0", "z": "-0.0"}, None),
        ({"x": 10**300, "y": 10**400, "z": -(10**400), "w": "1" * 400}, None),
        ({"x": 5e-324, "y": 1.7976931348623157e308, "z": 2**63}, None),
        ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
        ({True: "a", None: "b", "in": {False: 1}}, {"true": "a", "null": "b", "in": {"false": 1}}),
        ({1: "a", "1": "b"}, {"1": "b"}),
        ({"t": (1, (2, "x"))}, {"t": [1, [2, "x"]]}),
        ({"x": "\x1f5", "y": "a\x00b", "": {"": 1}}, None),
    ],
)
def test_unusual_metadata_is_stored_as_json_has_it(tmp_path, metadata, stored):
    folder = write(tmp_path, [Document("a", "text", metadata=metadata)])
    ((document,), problems) = read(folder)
    assert document.metadata == (metadata if stored is None else stored)
    assert problems == []
    writer = CatalogWriter.open(folder)
    writer.remove([0])
    writer.commit()
    writer.close()
    assert read(folder) == ([], [])


def test_filters_find_rows_and_count_documents(tmp_path):
    writer = CatalogWriter.open(tmp_path)
    writer.clear()
    cut = [Passage(0, 5), Passage(4, 10)]
    writer.insert([(DOCUMENTS[0], cut), (DOCUMENTS[1], [Passage(0, 3)]), (DOCUMENTS[2], cut)], 10)
    writer.commit()
    writer.close()
    catalog = Catalog.open(tmp_path)
    for where, rows, count in [
        ("n = 1", [10, 11], 1),
        ("n != 1", [12, 13, 14], 2),
        ("lang in ('en', 'fr')", [10, 11, 12], 2),
        ("x.y = true", [12], 1),
        ("n > 5", [], 0),
    ]:
        assert catalog.rows_where(where).tolist() == rows, where
        assert catalog.count_where(where) == count, where
    with pytest.raises(FilterError) as caught:
        catalog.rows_where("n = 1 and year >= 2020")
    assert str(caught.value).split("\n") == [
        "where: character 11: no document has a field 'year'; fields: lang, n, x.y",
        "  n = 1 and year >= 2020",
        "            ^",
    ]
    assert catalog.fields() == ["lang", "n", "x.y"]
    catalog.close()


def test_no_metadata_means_no_fields(tmp_path):
    catalog = Catalog.open(write(tmp_path, [Document("a", "text")]))
    assert catalog.fields() == []
    with pytest.raises(FilterError, match="no document has a field 'n'; fields: none"):
        catalog.count_where("n is null")
    catalog.close()


def test_documents_and_their_passages_by_row_and_id(catalog):
    assert (catalog.n_documents(), catalog.n_passages()) == (3, 3)
    found = catalog.doc_numbers(["c", "nobody", "a", "a"])
    assert found == {"a": 0, "c": 2}
    assert catalog.docs_of_rows(np.array([2, 0, 77])) == {0: 0, 2: 2}
    assert catalog.doc_ids([2, 0, 77]) == {0: "a", 2: "c"}
    stored = catalog.documents([2, 0, 99])
    assert {doc: one.document for doc, one in stored.items()} == {0: DOCUMENTS[0], 2: DOCUMENTS[2]}
    assert stored[0].passages == ((0, 0, 10),)
    assert catalog.document_source(1) == "c.jsonl:2"


def test_lists_longer_than_a_statement_takes(tmp_path):
    documents = [Document(f"id{i}", f"text {i}", metadata={"n": i}) for i in range(1_700)]
    catalog = Catalog.open(write(tmp_path, documents))
    assert catalog.doc_numbers([d.doc_id for d in documents]) == {d.doc_id: i for i, d in enumerate(documents)}
    assert len(catalog.documents(range(1_700))) == len(catalog.docs_of_rows(np.arange(1_700))) == 1_700
    assert [s.document for s in catalog.all_documents(block=400)] == documents
    members = ",".join(str(i) for i in range(0, 1_700, 2))
    assert catalog.rows_where(f"n in ({members})").tolist() == list(range(0, 1_700, 2))
    catalog.close()


def test_segments_and_settings_come_back(tmp_path):
    writer = CatalogWriter.open(tmp_path)
    writer.clear()
    later = SegmentEntry(**{**SEGMENT.__dict__, "segment": 1, "first_row": 7, "end_row": 12, "operating_points": None})
    writer.add_segment(later)
    assert writer.next_row() == 12
    writer.add_segment(SEGMENT)
    writer.set_meta(name="minilm", dim=128, spec={"b": [1, None], "a": "é"})
    writer.set_meta(dim=256)
    writer.commit()
    writer.close()
    catalog = Catalog.open(tmp_path)
    assert catalog.segments() == [SEGMENT, later]  # by first row
    assert catalog.meta() == {"name": "minilm", "dim": 256, "spec": {"b": [1, None], "a": "é"}}
    catalog.close()


# ---- changing


def test_removed_documents_leave_tombstones_and_nothing_else(folder):
    writer = CatalogWriter.open(folder)
    assert writer.remove([1, 2, 99]) == 2
    writer.commit()
    assert writer.tombstones().tolist() == writer.unpurged_rows() == [1, 2]
    writer.begin()
    writer.mark_purged([1])
    writer.commit()
    assert (writer.unpurged_rows(), writer.tombstones().tolist()) == ([2], [1, 2])
    assert (writer.n_documents(), writer.n_passages(), writer.fields()) == (1, 1, ["lang", "n"])
    assert writer.doc_numbers(["a", "b"]) == {"a": 0}
    writer.close()
    assert read(folder) == (DOCUMENTS[:1], [])


def test_same_text_needs_equal_title_and_text(folder):
    writer = CatalogWriter.open(folder)
    assert writer.find_same_text(Document("other", "first text", "Title")) == "a"
    assert writer.find_same_text(Document("other", "first text")) is None
    assert writer.find_same_text(Document("other", "text", "Titlefirst ")) is None
    assert writer.find_same_text(Document("other", "First text", "Title")) is None
    writer.close()


def test_document_numbers_are_never_given_out_twice(folder):
    """Who replaces the last document may meet its doc_id again, and must see that it is a new one."""
    writer = CatalogWriter.open(folder)
    first_new = writer.next_doc()
    assert first_new == 3
    writer.remove([2])
    writer.insert([whole(Document("c", "replaced"))], 3)
    assert writer.doc_numbers(["c"])["c"] >= first_new
    writer.remove([writer.doc_numbers(["c"])["c"]])
    assert writer.next_doc() == 4
    writer.close()


def test_a_reader_keeps_what_it_opened_while_a_writer_commits(folder):
    reader = Catalog.open(folder)
    writer = CatalogWriter.open(folder)
    writer.remove([0])
    writer.insert([whole(Document("d", "new", metadata={"m": 1}))], 3)
    writer.set_meta(generation=2)
    uncommitted = Catalog.open(folder)
    writer.commit()
    late = Catalog.open(folder)
    for catalog in (reader, uncommitted):
        assert [s.document for s in catalog.all_documents()] == DOCUMENTS
        assert (catalog.meta(), catalog.fields()) == ({"generation": 1}, ["lang", "n", "x.y"])
        assert catalog.tombstones().tolist() == []
    assert (late.meta(), sorted(late.doc_numbers(["a", "b", "c", "d"]))) == ({"generation": 2}, ["b", "c", "d"])
    for catalog in (reader, uncommitted, late, writer):
        catalog.close()


def test_clear_takes_effect_with_the_commit(folder):
    reader = Catalog.open(folder)
    writer = CatalogWriter.open(folder)
    writer.clear()
    writer.insert([whole(Document("new", "other"))], 0)
    assert read(folder) == (DOCUMENTS, [])
    writer.commit()
    assert read(folder) == ([Document("new", "other")], [])
    assert [s.document for s in reader.all_documents()] == DOCUMENTS
    reader.close()
    writer.close()


def test_closing_without_commit_changes_nothing(folder):
    for change in (lambda w: w.clear(), lambda w: w.remove([0, 1]), lambda w: w.insert([whole(Document("z", "z"))], 3)):
        writer = CatalogWriter.open(folder)
        change(writer)
        writer.close()
        assert read(folder) == (DOCUMENTS, [])


def test_a_writer_that_never_committed_leaves_nothing_to_read(tmp_path):
    writer = CatalogWriter.open(tmp_path)
    assert not writer.committed
    writer.clear()
    writer.close()
    with pytest.raises(IndexFolderError, match="nothing was committed here yet; run hpdsearch index again"):
        Catalog.open(tmp_path)
    writer = CatalogWriter.open(tmp_path)
    assert not writer.committed
    writer.close()


def test_a_killed_writer_leaves_the_last_commit(folder):
    code = """if True:
        import os, sys
        from pathlib import Path
        from hpdsearch.catalog import CatalogWriter
        from hpdsearch.records import Document, Passage
        writer = CatalogWriter.open(Path(sys.argv[1]))
        writer.insert([(Document("d", "committed"), [Passage(0, 9)])], 3)
        writer.commit()
        writer.begin()
        writer.remove([0, 1])
        writer.insert([(Document(f"x{i}", "not " * 1000), [Passage(0, 9)]) for i in range(5000)], 4)
        os._exit(9)"""
    run = subprocess.run([sys.executable, "-c", code, folder])
    assert run.returncode == 9
    assert read(folder) == ([*DOCUMENTS, Document("d", "committed")], [])


def test_a_closed_catalog_says_so(catalog):
    catalog.close()
    with pytest.raises(IndexFolderError, match="was closed; open the index again"):
        catalog.n_documents()


# ---- what is no catalog of ours


def test_no_folder_and_no_catalog_are_errors(tmp_path):
    with pytest.raises(IndexFolderError, match="no such folder; make one with: hpdsearch index CORPUS -o"):
        Catalog.open(tmp_path / "nowhere")
    for make in (lambda: None, (tmp_path / FILE_NAME).mkdir):
        make()
        with pytest.raises(IndexFolderError, match=f"not an hpdsearch index .it holds no {FILE_NAME}"):
            Catalog.open(tmp_path)


@pytest.mark.parametrize("statement", ["CREATE TABLE notes(x)", "PRAGMA application_id = 7"])
def test_another_program_s_database_is_refused_and_left_as_it_is(tmp_path, statement):
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    data = path.read_bytes()
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(IndexFolderError, match="is a database of another program; choose another folder"):
            opened.open(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("found", "advice"),
    [(FORMAT + 1, "a newer hpdsearch wrote it: upgrade"), (1, "index again into another folder"), (0, "index again")],
)
def test_another_format_names_both_and_says_what_to_do(folder, found, advice):
    alter(folder, f"PRAGMA user_version = {found}")
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(IndexFolderError, match=f"{FILE_NAME}: expected format {FORMAT}, got {found}; {advice}"):
            opened.open(folder)


def test_a_missing_table_is_damage(folder):
    alter(folder, "DROP TABLE passages")
    with pytest.raises(CorruptIndexError, match=r"the tables \['passages'\] are missing; restore it, or index again"):
        Catalog.open(folder)


@pytest.mark.parametrize("data", [b"hello" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_damage(tmp_path, data):
    (tmp_path / FILE_NAME).write_bytes(data)
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(CorruptIndexError, match=f"{FILE_NAME}: SQLite cannot read it"):
            opened.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == data


def test_an_empty_file_is_nothing_committed(tmp_path):
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(IndexFolderError, match="nothing was committed"):
        Catalog.open(tmp_path)


# ---- damage


def alter(folder, statement):
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.execute(statement)
    connection.commit()
    connection.close()


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
    alter(folder, statement)
    catalog = Catalog.open(folder)
    with pytest.raises(CorruptIndexError, match=f"{folder / FILE_NAME}: .*restore it, or index again"):
        catalog.documents([0])
    with pytest.raises(CorruptIndexError):
        list(catalog.all_documents())
    assert catalog.documents([2])[2].document == DOCUMENTS[2]
    assert isinstance(catalog.find_problems(), list)
    catalog.close()


ATTRIBUTES = "the attributes that filters use are not those of the documents' metadata"


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
def test_problems_finds_what_does_not_fit_together(folder, statement, problem):
    alter(folder, statement)
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
def test_altered_settings_and_segments_are_damage(folder, statement):
    writer = CatalogWriter.open(folder)
    writer.add_segment(SEGMENT)
    writer.commit()
    writer.close()
    alter(folder, statement)
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(
            CorruptIndexError, match="its settings or segments are not what was written; restore it, or index"
        ):
            opened.open(folder)


def everything(folder):
    """All that a catalog says, or the kind of error or problem that it ends with."""
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
def twelve(tmp_path_factory):
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


def test_a_flipped_bit_is_an_error_a_problem_or_no_matter(twelve, tmp_path):
    """Of bytes that are in use, and of some that are not; never another exception, never another answer."""
    folder = Path(shutil.copytree(twelve, tmp_path / "copy"))
    path, expected, rng = folder / FILE_NAME, everything(twelve), random.Random(0)
    data = path.read_bytes()
    used = [at for at, byte in enumerate(data) if byte]
    n_found = 0
    for at in [*rng.sample(used, 300), *rng.sample(range(len(data)), 50), *range(100)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.randrange(8)
        for file in folder.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        got = everything(folder)
        assert got == expected or (isinstance(got, str) and str(folder) in got), f"byte {at}: {got}"
        n_found += got != expected
    assert n_found > 200


def test_a_truncated_catalog_is_an_error_or_a_problem(twelve, tmp_path):
    data = (twelve / FILE_NAME).read_bytes()
    for length in (1, 99, 100, 4095, 4096, 8192, len(data) // 2, len(data) - 4096, len(data) - 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(data[:length])
        got = everything(folder)
        padding = length == len(data) - 1 and got == everything(twelve)  # of the last page
        assert padding or (isinstance(got, str) and str(folder) in got), length


# ---- folders that cannot be written to


def read_only(folder, *, keep_wal):
    """Open a copy of a folder as a user who may not write there; with the writer's last commit still in its log."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from hpdsearch.catalog import Catalog, CatalogWriter
        from hpdsearch.errors import HpdsearchError
        if os.geteuid() == 0:
            os.setuid(65534)
        for opened in (Catalog, CatalogWriter):
            try:
                catalog = opened.open(Path(sys.argv[1]))
                print(catalog.meta()["generation"], catalog.n_documents())
                catalog.close()
            except HpdsearchError as error:
                print(error)"""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        writer = CatalogWriter.open(folder)
        writer.set_meta(generation=2)
        writer.commit()
        if not keep_wal:
            writer.close()
        for file in (FILE_NAME, FILE_NAME + "-wal"):
            if (folder / file).exists():
                shutil.copy(folder / file, copy / file)
                (copy / file).chmod(0o444)
        writer.close()
        copy.chmod(0o555)
        run = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
        copy.chmod(0o755)
        return run.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_is_read_but_not_written(folder):
    reader, writer = read_only(folder, keep_wal=False)
    assert reader == "2 3"
    assert writer.endswith(
        "cannot be written (attempt to write a readonly database); choose a folder with write permission"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_whose_last_commit_cannot_be_read_is_an_error_not_an_older_state(folder):
    reader, _ = read_only(folder, keep_wal=True)
    assert f"the last changes are in {FILE_NAME}-wal" in reader
    assert reader.endswith("open the index once in a folder with write permission")
