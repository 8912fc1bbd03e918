import json
import sqlite3
from pathlib import Path

import pytest

from hpdsearch import Document, Index
from hpdsearch.corpus import read_corpus
from hpdsearch.errors import CorpusError, CorruptIndexError
from hpdsearch.records import Passage
from hpdsearch.search.places import name_location


def locate(text, locations=(), source="", passage=None, highlights=()):
    document = Document("d", text, source=source, locations=locations)
    return name_location(document, passage or Passage(0, len(text)), highlights)


def test_a_passage_is_located_by_its_beginning_or_by_its_matching_words():
    locations = ((0, "page 1"), (10, "page 2"), (20, "page 3"))
    text = "a" * 30
    assert locate(text, locations) == "page 1"
    assert locate(text, locations, passage=Passage(10, 30)) == "page 2"
    assert locate(text, locations, passage=Passage(9, 30)) == "page 1"
    assert locate(text, locations, highlights=[(1, 2), (22, 23), (25, 26)]) == "page 3"
    assert locate(text, locations, passage=Passage(10, 30), highlights=[(10, 11)]) == "page 3"


def test_white_space_before_a_part_does_not_belong_to_the_part_before():
    assert locate("one\n\ntwo", ((0, "page 1"), (5, "page 2")), passage=Passage(3, 8)) == "page 2"


def test_text_before_the_first_part_has_no_location():
    assert locate("intro\nHead", ((6, "Head"),)) == ""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/u/a.txt:17", "line 17"),
        ("/u/a.txt.gz:17", "line 17"),
        ("/u/a.mbox:3", "message 3"),
        ("/u/a.jsonl:17", ""),
        ("/u/a.txt", "line 3"),
        ("/u/a.py", "line 3"),
        ("/u/a.html", ""),
        ("", ""),
    ],
)
def test_lines_and_messages_are_located_by_the_source(source, expected):
    assert locate("one\ntwo\nthree", source=source, passage=Passage(7, 13)) == expected


def test_headings_of_markdown_and_html_are_found(tmp_path: Path):
    (tmp_path / "a.md").write_text("intro\n\n# Install\nx\n\nSource\n---\ny\n```\n# no\n```\n## Wheels\nz\n# Use\n")
    (tmp_path / "b.html").write_text("<body><nav><h2>Menu</h2></nav><h1>Top</h1><p>x</p><h3>Deep <b>er</b></h3><p>y")
    (markdown, html) = read_corpus(tmp_path)
    named = [(markdown.text[start:].split("\n")[0], label) for start, label in markdown.locations]
    assert named == [
        ("# Install", "Install"),
        ("Source", "Install > Source"),
        ("## Wheels", "Install > Wheels"),
        ("# Use", "Use"),
    ]
    assert [(html.text[start:].split("\n")[0], label) for start, label in html.locations] == [
        ("Top", "Top"),
        ("Deep er", "Top > Deep er"),
    ]


DOCUMENTS = [
    Document("pdf", "Ships sail at dawn.\n\nCoins are counted.", locations=((0, "page 1"), (21, "page 2"))),
    Document("plain", "Nothing at all."),
]


def find_location(index: Index, query: str) -> str:
    return index.search(query, 1, mode="lexical")[0].location


def test_the_index_keeps_locations(tmp_path: Path, tiny_encoder):
    with Index.build(tmp_path / "i", DOCUMENTS, encoder=tiny_encoder) as index:
        assert find_location(index, "coins") == "page 2"
        assert find_location(index, "nothing") == ""
        assert index.get("pdf").locations == DOCUMENTS[0].locations
        index.add([Document("pdf", "Coins alone.", locations=((0, "slide 7"),))])
        assert find_location(index, "coins") == "slide 7"
        index.delete(["pdf"])
    with sqlite3.connect(tmp_path / "i" / "catalog.sqlite") as catalog:
        assert catalog.execute("SELECT count(*) FROM locations").fetchone() == (0,)
    catalog.close()


def test_an_index_without_locations_has_no_table_for_them(tmp_path: Path, tiny_encoder):
    Index.build(tmp_path / "i", DOCUMENTS[1:], encoder=tiny_encoder).close()
    with sqlite3.connect(tmp_path / "i" / "catalog.sqlite") as catalog:
        assert catalog.execute("SELECT name FROM sqlite_master WHERE name = 'locations'").fetchone() is None
    catalog.close()


def change_catalog(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "catalog.sqlite") as catalog:
        catalog.execute(sql)
    catalog.close()


def test_locations_of_a_text_that_an_earlier_version_replaced_are_not_used(tmp_path: Path, tiny_encoder):
    Index.build(tmp_path / "i", DOCUMENTS, encoder=tiny_encoder).close()
    from hpdsearch.catalog.schema import locations_checksum

    labels = json.dumps([[0, "page 9"]])
    change_catalog(
        tmp_path / "i",
        f"UPDATE locations SET text_hash = 1, labels = '{labels}', sum = {locations_checksum(1, labels)}",
    )
    with Index.open(tmp_path / "i", encoder=tiny_encoder) as index:
        assert find_location(index, "coins") == ""


def test_altered_locations_are_an_error(tmp_path: Path, tiny_encoder):
    Index.build(tmp_path / "i", DOCUMENTS, encoder=tiny_encoder).close()
    change_catalog(tmp_path / "i", "UPDATE locations SET labels = '[[0,\"page 8\"]]'")
    with Index.open(tmp_path / "i", encoder=tiny_encoder) as index, pytest.raises(CorruptIndexError, match="locations"):
        index.search("coins", 1, mode="lexical")


def test_wrong_locations_are_refused(tmp_path: Path, tiny_encoder):
    with pytest.raises(CorpusError, match="expected locations"):
        Index.build(tmp_path / "i", [Document("a", "b", locations=(("page 1", 0),))], encoder=tiny_encoder)


@pytest.mark.parametrize("name", ["d.jsonl", "d.parquet"])
def test_locations_are_exported_and_imported(tmp_path: Path, tiny_encoder, name):
    pytest.importorskip("pyarrow")
    from hpdsearch.corpus.encoded import read_encoded

    with Index.build(tmp_path / "i", DOCUMENTS, encoder=tiny_encoder) as index, (tmp_path / name).open("wb") as file:
        index.export(file, name.removeprefix("d."))
    found = {document.doc_id: document.locations for document in read_encoded(tmp_path / name)}
    assert found == {"pdf": DOCUMENTS[0].locations, "plain": ()}
