"""Reading a catalog: documents, passages, rows, filters."""

import numpy as np
import pytest
from catalogs import DOCUMENTS, write

from hpdsearch.catalog import Catalog, CatalogWriter
from hpdsearch.errors import FilterError, IndexFolderError
from hpdsearch.records import Document, Passage


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


def test_documents_and_passages_are_found_by_row_and_id(catalog):
    assert (catalog.n_documents(), catalog.n_passages()) == (3, 3)
    found = catalog.doc_numbers(["c", "nobody", "a", "a"])
    assert found == {"a": 0, "c": 2}
    assert catalog.docs_of_rows(np.array([2, 0, 77])) == {0: 0, 2: 2}
    assert catalog.doc_ids([2, 0, 77]) == {0: "a", 2: "c"}
    stored = catalog.documents([2, 0, 99])
    assert {doc: one.document for doc, one in stored.items()} == {0: DOCUMENTS[0], 2: DOCUMENTS[2]}
    assert stored[0].passages == ((0, 0, 10),)
    assert catalog.document_source(1) == "c.jsonl:2"


def test_lists_longer_than_one_statement_allows_are_read(tmp_path):
    documents = [Document(f"id{i}", f"text {i}", metadata={"n": i}) for i in range(1_700)]
    catalog = Catalog.open(write(tmp_path, documents))
    assert catalog.doc_numbers([d.doc_id for d in documents]) == {d.doc_id: i for i, d in enumerate(documents)}
    assert len(catalog.documents(range(1_700))) == len(catalog.docs_of_rows(np.arange(1_700))) == 1_700
    assert [s.document for s in catalog.all_documents(block=400)] == documents
    members = ",".join(str(i) for i in range(0, 1_700, 2))
    assert catalog.rows_where(f"n in ({members})").tolist() == list(range(0, 1_700, 2))
    catalog.close()


def test_the_error_of_a_closed_catalog_says_so(catalog):
    catalog.close()
    with pytest.raises(IndexFolderError, match="was closed; open the index again"):
        catalog.n_documents()
