"""Documents that hold an identifier or rare words of the query come first in hybrid search."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from brute_force import make_documents

from hpdsearch import Document
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.search.rare_words import find_identifiers

HOLDERS = {
    "E1234-77": "the queen sleeps, then E1234-77 is on",
    "CVE-2021-44228": "fire in the house (CVE-2021-44228)",
    "v2.7.1": "a new song, v2.7.1",
    "0x80070057": "the ship sings 0x80070057.",
    "555-0199": "a man with 555-0199",
    "Przybylski": "the small dog of Przybylski",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of 1,500 texts: six hold an identifier or a name, some its parts, and one words of questions."""
    parts = [Document("parts", "E1234 is 77 and 2021 is CVE 44228"), Document("common", "cat 1-2")]
    question = Document("question", "what she asked, and whose song it was")  # the only one with these words
    holders = [Document(word, text, metadata={"rare": True}) for word, text in HOLDERS.items()]
    folder = tmp_path_factory.mktemp("rare") / "index"
    with Index.build(folder, [*make_documents(1500), *parts, question, *holders], encoder=tiny_encoder) as made:
        yield made


@pytest.mark.parametrize("word", HOLDERS)
@pytest.mark.parametrize("query", ["{}", "what is {} for", "{}? the cat of the river sings a war song"])
def test_the_document_that_holds_a_rare_word_comes_first(index: Index, word: str, query: str) -> None:
    if word == "Przybylski" and "war" in query:
        pytest.skip("this name is less than 0.4 of the idf of so many words")
    text = query.format(word)
    first, second = index.search(text, 2, explain=True)
    assert first.doc_id == word
    assert first.explanation is not None
    assert first.explanation.bonus == 1
    assert second.explanation is not None
    assert second.explanation.bonus == 0
    found = first.explanation
    words = 0.25 * found.coverage + 0.1 * found.bm25 / found.best_bm25
    assert first.score == pytest.approx(0.65 * found.cosine + words + 1, abs=1e-4)


def test_a_filter_keeps_documents_with_rare_words_out(index: Index) -> None:
    assert index.search("E1234-77", 1, where="rare = true")[0].doc_id == "E1234-77"
    hits = index.search("E1234-77", 40, where="half = 0")
    assert len(hits) == 40
    assert all(hit.score <= 1 for hit in hits)


def test_each_identifier_counts_its_share(index: Index) -> None:
    hits = index.search("E1234-77 0x80070057", 3, explain=True)
    assert {hit.doc_id for hit in hits[:2]} == {"E1234-77", "0x80070057"}
    assert [hit.explanation and hit.explanation.bonus for hit in hits] == [0.5, 0.5, 0]


def test_words_that_many_documents_hold_add_nothing(index: Index) -> None:
    assert all(hit.score <= 1 for hit in index.search("cat 42 sings 1-2-3", 40))


def test_a_rare_question_word_adds_nothing_and_a_required_one_is_found(index: Index) -> None:
    assert all(hit.score <= 1 for hit in index.search("what floats on the sea", 40))
    assert index.search("+whose song", 1)[0].doc_id == "question"


def test_an_ordinary_word_adds_nothing_though_few_documents_hold_it(tmp_path: Path, tiny_encoder: Encoder) -> None:
    texts = [*["the cat of the house"] * 1200, "a new song of the ship", "the dog of Przybylski"]
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        assert tiny_encoder.known_words("ship of Przybylski") == {"ship", "of"}
        (found,) = index.search("ship", 1, explain=True)
        assert found.text == "a new song of the ship"
        assert found.explanation is not None
        assert found.explanation.bonus == 0
        assert index.search("Przybylski", 1)[0].score > 1


def test_identifiers_by_their_form() -> None:
    text = (
        "E1234-77, (CVE-2021-44228) v2.7.1 0x80070057 555-0199; x-15 EL1 3D: 1960s 3rd 20TH 42 1,000 e-mail C++ -5 a1"
    )
    expected = ["E1234-77", "CVE-2021-44228", "v2.7.1", "0x80070057", "555-0199", "x-15", "EL1", "3D", "a1"]
    assert find_identifiers(text) == expected
    assert find_identifiers("no digit-s") == []
    assert find_identifiers("a_b_1") == ["a_b_1"]
    assert find_identifiers(" ".join(("a_1-" * 20_000 + "%a", "1" * 200_000 + "a", "a" * 200_000 + "%1"))) == []
