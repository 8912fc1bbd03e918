"""The writer of a catalog: one transaction writes exactly the given documents, segments and settings."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from catalogs import DOCUMENTS, SEGMENT, in_one_passage, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdsearch.catalog import Catalog, CatalogWriter, SegmentEntry
from hpdsearch.errors import IndexFolderError
from hpdsearch.records import Document

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
def test_documents_are_read_as_they_were_written(documents):
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
def test_unusual_metadata_is_stored_as_json(tmp_path, metadata, stored):
    folder = write(tmp_path, [Document("a", "text", metadata=metadata)])
    ((document,), problems) = read(folder)
    assert document.metadata == (metadata if stored is None else stored)
    assert problems == []
    writer = CatalogWriter.open(folder)
    writer.remove([0])
    writer.commit()
    writer.close()
    assert read(folder) == ([], [])


def test_segments_and_settings_are_read_as_they_were_written(tmp_path):
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
    others = [
        Document("same", "first text", "Title"),
        Document("no title", "first text"),
        Document("shifted", "text", "Titlefirst "),
        Document("case", "First text", "Title"),
    ]
    assert writer.find_same_texts(others) == {("Title", "first text"): "a"}
    assert writer.find_same_texts(others[1:]) == writer.find_same_texts([]) == {}
    writer.close()


def test_document_numbers_are_never_reused(folder):
    """The doc_id of the last document may come again after a replacement, and must count as a new document."""
    writer = CatalogWriter.open(folder)
    first_new = writer.next_doc()
    assert first_new == 3
    writer.remove([2])
    writer.insert([in_one_passage(Document("c", "replaced"))], 3)
    assert writer.doc_numbers(["c"])["c"] >= first_new
    writer.remove([writer.doc_numbers(["c"])["c"]])
    assert writer.next_doc() == 4
    writer.close()


def test_a_reader_keeps_its_snapshot_while_a_writer_commits(folder):
    reader = Catalog.open(folder)
    writer = CatalogWriter.open(folder)
    writer.remove([0])
    writer.insert([in_one_passage(Document("d", "new", metadata={"m": 1}))], 3)
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
    writer.insert([in_one_passage(Document("new", "other"))], 0)
    assert read(folder) == (DOCUMENTS, [])
    writer.commit()
    assert read(folder) == ([Document("new", "other")], [])
    assert [s.document for s in reader.all_documents()] == DOCUMENTS
    reader.close()
    writer.close()


def test_closing_without_commit_changes_nothing(folder):
    for change in (
        lambda w: w.clear(),
        lambda w: w.remove([0, 1]),
        lambda w: w.insert([in_one_passage(Document("z", "z"))], 3),
    ):
        writer = CatalogWriter.open(folder)
        change(writer)
        writer.close()
        assert read(folder) == (DOCUMENTS, [])


def test_a_writer_without_a_commit_leaves_nothing_to_read(tmp_path):
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
