"""Reading a catalog: documents, passages, rows, filters."""

import numpy as np
import pytest
from catalogs import DOCUMENTS, write

from hpdsearch.catalog import Catalog, CatalogWriter
from hpdsearch.catalog.reader import compile_filter
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
        "where: character 11: no document has a field 'year'; fields: lang, n, x.y, @id, @title, @text, @source",
        "  n = 1 and year >= 2020",
        "            ^",
    ]
    assert catalog.fields() == ["lang", "n", "x.y"]
    catalog.close()


def test_no_metadata_means_no_fields(tmp_path):
    catalog = Catalog.open(write(tmp_path, [Document("a", "text")]))
    assert catalog.fields() == []
    with pytest.raises(FilterError, match="no document has a field 'n'; fields: @id, @title, @text, @source"):
        catalog.count_where("n is null")
    catalog.close()


TYPED = [
    {"n": 5, "word": "five", "flag": True, "day": "2024-01-31", "none": None, "o": {"p": None, "q": [[], {}]}},
    {"n": "6", "word": "", "flag": False, "mixed": 5, "a": {"b": 1}, "none": []},
    {"mixed": "five", "a": {"c.d": None}},
]


@pytest.fixture
def typed(tmp_path):
    catalog = Catalog.open(write(tmp_path, [Document(f"d{i}", "text", "", typed) for i, typed in enumerate(TYPED)]))
    yield catalog
    catalog.close()


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("n = true", "true", "no value of 'n' is true or false; compare it with a literal like 5"),
        ("n = 'five'", "'five'", "no value of 'n' is a text like this; compare it with a literal like 5"),
        ("n contains 'x'", "'x'", "no value of 'n' is a text like this; compare it with a literal like 5"),
        ("n like 'a%'", "'a%'", "no value of 'n' is a text like this; compare it with a literal like 5"),
        ("n > 2024-01-31", "2024-", "no value of 'n' is a date; compare it with a literal like 5"),
        ("word > 5", "5", "no value of 'word' is a number; compare it with a literal like \"\""),
        ("word != 5", "5", "no value of 'word' is a number; compare it with a literal like \"\""),
        ("not word in ('x', 5)", "5", "no value of 'word' is a number; compare it with a literal like \"\""),
        ("flag = 1", "1", "no value of 'flag' is a number; compare it with a literal like false"),
        ("n > 'five'", "'five'", "no value of 'n' is a text like this; compare it with a literal like 5"),
        ("flag >= 'u'", "'u'", "no value of 'flag' is a text like this; compare it with a literal like false"),
        ("flag starts with 'y'", "'y'", "no value of 'flag' is a text like this; compare it with a literal like false"),
        ("day >= 2024", "2024", "no value of 'day' is a number; compare it with a literal like 2024-01-31"),
        (
            "n = 5 or day = false",
            "false",
            "no value of 'day' is true or false; compare it with a literal like 2024-01-31",
        ),
        ("none = 5", "5", "'none' has no value in any document; it can only be compared with null"),
        ("o.p in (null, 'x')", "'x'", "'o.p' has no value in any document; it can only be compared with null"),
        ("title contains 'x'", "'x'", "'@title' has no value in any document; it can only be compared with null"),
        ("id > 7", "7", "no value of '@id' is a number; compare it with a literal like \"d0\""),
        ("a = 1", "a", "'a' is an object; compare one of its fields: a.b"),
        ("nothing is null", "nothing", "no document has a field 'nothing'; fields: a.b, day, flag, mixed, n, word, "),
    ],
)
def test_a_comparison_that_can_never_match_is_an_error_at_its_literal(typed, where, value, message):
    with pytest.raises(FilterError) as caught:
        typed.count_where(where)
    assert str(caught.value).startswith(f"where: character {where.rindex(value) + 1}: {message}")


@pytest.mark.parametrize(
    ("where", "docs"),
    [
        ("none is null", [0, 1, 2]),
        ("none is not null or none != null", []),
        ("o is null and o.p is null and o.q is null and a.c.d is null", [0, 1, 2]),
        ("a is null", [0, 2]),
        ("mixed = 5 or mixed = 'five'", [1, 2]),
        ("mixed in (5, 'five')", [1, 2]),
        ("n = '5' or n contains '6' or n like '%e+%' or n > '9'", [0, 1]),
        ("flag = 'true' or flag contains 'als' or flag = null", [0, 1, 2]),
        ("n < 'five' and flag > 'f'", [0, 1]),  # compared as text
        ("n > 1000", []),  # a number, so another document may match one day
        ("day < 2000-01-01 or day > '3'", []),
        ("title is null and source is null", [0, 1, 2]),
    ],
)
def test_a_comparison_that_a_value_of_its_type_could_match_is_none(typed, where, docs):
    assert typed.rows_where(where).tolist() == docs


OWN = [
    Document("7", "Long text\x00 with zero", "It's", {"title": "metadata"}, "/home/u/a.md"),
    Document("07", "more TEXT", "", {}, "/home/u/b_c.txt:17"),
    Document("2024-01-31", "Zeit", "\U0010ffff\U0010ffff!", {}, ""),
]


@pytest.mark.parametrize(
    ("where", "docs"),
    [
        ("id = 7", [0, 1]),
        ("id = '7' or doc_id = '07'", [0, 1]),
        ("@id in ('07', 2024-01-31)", [1, 2]),
        ("id != 7", [2]),
        ("id not in ('7', '8')", [1, 2]),
        ("id > 2024-01-30", [2]),
        ("title = 'metadata'", [0]),  # the metadata field wins
        ("title is null", [1, 2]),
        ("@title is null", [1]),
        ("@title = 'It''s'", [0]),
        ("@title != 'It''s' and @title not like 'x%'", [1, 2]),
        ("@title starts with '\U0010ffff'", [2]),
        ("`@title` is null", None),
        ("source starts with '/home/u/'", [0, 1]),
        ("source like '%/b\\_c.txt:__'", [1]),
        ("source not contains '/u/'", [2]),
        ("@source is null", [2]),
        ("text contains 'text'", [0]),
        ("text like '%zero'", [0]),
        ("not text like '%zero'", [1, 2]),
    ],
)
def test_own_fields_are_filtered_like_metadata(tmp_path, where, docs):
    catalog = Catalog.open(write(tmp_path, OWN))
    if docs is None:
        with pytest.raises(FilterError, match="no document has a field '@title'"):
            catalog.rows_where(where)
    else:
        assert catalog.rows_where(where).tolist() == docs
    catalog.close()


def test_a_filter_on_one_field_reads_an_index_and_no_json(tmp_path):
    catalog = Catalog.open(
        write(tmp_path, [Document(str(i), "text", "", {"n": i, "day": "2024-01-31"}) for i in range(9)])
    )
    for where in ("n = 5", "n >= 5", "day = 2024-01-31", "day like '2024%'", "n starts with '5'", "id = '5'"):
        condition, parameters = compile_filter(where, catalog.select)
        plan = catalog._all(f"EXPLAIN QUERY PLAN SELECT doc FROM documents WHERE {condition}", parameters)
        steps = [str(step[-1]) for step in plan]
        assert not [step for step in steps if step.startswith("SCAN")], (where, steps)
        if where.startswith("day"):
            assert any("field=? AND text>? AND text<?" in step for step in steps), (where, steps)
    catalog.close()


def test_a_pattern_of_many_parts_is_matched_in_time_that_grows_with_the_text(tmp_path):
    catalog = Catalog.open(write(tmp_path, [Document("a", "a" * 100_000)]))
    assert catalog.count_where(f"text like '{'%a' * 40}%b'") == 0
    assert catalog.count_where(f"text like '{'%a' * 40}'") == 1
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
    assert catalog.stored_sources(["b", "nobody"]) == {"b": (1, "c.jsonl:2")}


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
