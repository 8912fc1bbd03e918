"""Indexes in several languages: detection, conditions, highlights, explanations, changes, and English as it was."""

import sqlite3
from contextlib import closing

import pytest

from hpdsearch.catalog import CatalogWriter
from hpdsearch.dense import Codec, IndexSpec
from hpdsearch.errors import IndexFolderError, ShapeError
from hpdsearch.index import Index
from hpdsearch.records import Document

TEXTS = {
    "de-1": "Die alten Häuser am See wurden im Winter verkauft.",
    "de-2": "Der Ausschuss veröffentlicht nächste Woche seinen Bericht über die Vögel.",
    "en-1": "The old houses at the lake were sold last winter.",
    "en-2": "The committee will publish its report about birds next week.",
    "fr-1": "Les généraux ont quitté la ville après la tempête.",
    "fr-2": "Le comité publiera son rapport sur les oiseaux la semaine prochaine.",
    "ru-1": "Она читает интересные книги в своём саду каждое утро.",
    "zh-1": "自去年冬天以来，面包价格上涨了。",
    "ja-1": "彼女は庭で古い自転車を修理した。",
    "th-1": "ท่าเรือถูกปิดหลังจากพายุทำให้เรือสองลำเสียหาย",
    "ar-1": "قرأت الطالبة الكتاب في المكتبة الجديدة صباح أمس مع أصدقائها.",
}
FOUND = {
    "Haus": "de-1",
    "vogel": "de-2",
    "house": "en-1",
    "reports": "en-2",
    "general": "fr-1",
    "oiseau": "fr-2",
    "книга": "ru-1",
    "面包": "zh-1",
    "自転車": "ja-1",
    "พายุ": "th-1",
    "كتاب": "ar-1",
}


def documents(*prefixes):
    return [Document(doc_id, text) for doc_id, text in TEXTS.items() if not prefixes or doc_id[:2] in prefixes]


@pytest.fixture
def mixed(tmp_path, tiny_encoder):
    with Index.build(tmp_path / "i", documents(), encoder=tiny_encoder) as index:
        yield index


def test_words_of_each_language_of_a_mixed_corpus_are_found(mixed):
    assert mixed.info().languages == ["ar", "de", "en", "fr", "ja", "ru", "th", "zh"]
    for query, doc_id in FOUND.items():
        (hit, *_) = mixed.search(query, 3, mode="lexical", explain=True)
        assert hit.doc_id == doc_id, query
        assert hit.highlights, query
        assert hit.explanation.coverage == 1
        assert hit.explanation.words
        assert mixed.search(query, 3)[0].doc_id == doc_id


def test_marks_take_the_forms_of_each_language(mixed):
    def found(query):
        return {hit.doc_id for hit in mixed.search(query, 20, mode="lexical")}

    assert found("+Haus Winter") == {"de-1"}
    assert found("winter -houses") == {"de-1"}
    assert found('"la ville apres"') == {"fr-1"}
    assert found('"HAUSER am See"') == {"de-1"}
    assert found('"интересные книги"') == {"ru-1"}
    assert found('"интересная книга"') == set()


def test_changes_keep_the_languages(mixed):
    mixed.add([Document("de-3", "Die Bäume im Garten trugen dieses Jahr viele Äpfel.")])
    mixed.add([Document("de-3", "Die Bäume im Garten trugen dieses Jahr viele Früchte.")])
    found = {**FOUND, "Frucht": "de-3"}
    before = lexical_hits(mixed, found)
    assert {query: hits[0][0] for query, hits in before.items()} == found
    mixed.reindex(IndexSpec(codec=Codec.SQ8))
    mixed.compact()
    assert mixed.info().languages == ["ar", "de", "en", "fr", "ja", "ru", "th", "zh"]
    assert lexical_hits(mixed, found) == before
    assert mixed.verify() == []


def lexical_hits(index, queries):
    return {
        query: [(hit.doc_id, hit.highlights) for hit in index.search(query, 20, mode="lexical")] for query in queries
    }


def test_a_copy_made_of_the_documents_has_the_same_languages_and_hits(mixed, tmp_path, tiny_encoder):
    with Index.build(tmp_path / "copy", mixed.documents(), encoder=tiny_encoder) as copy:
        assert copy.info().languages == mixed.info().languages
        assert lexical_hits(copy, FOUND) == lexical_hits(mixed, FOUND)


def test_an_english_index_is_as_before(tmp_path, tiny_encoder):
    with Index.build(tmp_path / "i", documents("en"), encoder=tiny_encoder) as index:
        assert index.info().languages == ["en"]
        hits = index.search("the house at a lake", mode="lexical")
    with closing(sqlite3.connect(tmp_path / "i" / "catalog.sqlite")) as catalog:
        (version,) = catalog.execute("SELECT value FROM meta WHERE key = 'lexical_analysis'").fetchone()
    assert version == "2"
    assert [hit.doc_id for hit in hits] == ["en-1"]
    assert [hits[0].text[start:end] for start, end in hits[0].highlights] == ["houses", "lake"]


def test_a_language_can_be_named(tmp_path, tiny_encoder):
    with Index.build(tmp_path / "i", documents("de"), encoder=tiny_encoder, language="de,en") as index:
        assert index.info().languages == ["de", "en"]
    with Index.build(tmp_path / "j", documents("de"), encoder=tiny_encoder) as index:
        assert index.info().languages == ["de"]
    with pytest.raises(ShapeError, match=r"expected auto or some of ar, .*; got 'klingon'"):
        Index.build(tmp_path / "k", documents("de"), encoder=tiny_encoder, language="klingon")
    assert not (tmp_path / "k").exists()


def test_an_unknown_language_in_a_folder_is_refused(tmp_path, tiny_encoder):
    Index.build(tmp_path / "i", documents("de"), encoder=tiny_encoder).close()
    with closing(CatalogWriter.open(tmp_path / "i")) as catalog:
        catalog.set_meta(languages=["tlh"])
        catalog.commit()
    with pytest.raises(
        IndexFolderError, match=r"expected languages among ar, .*, got 'tlh'; a newer hpdsearch wrote it"
    ):
        Index.open(tmp_path / "i")
