"""The marks of a query: which texts have them, and which documents they let pass."""

from collections.abc import Iterator

import pytest
from brute_force import make_documents
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch import Document
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.search import conditions, snapshot
from hpdsearch.search.query_syntax import Condition, ParsedQuery, parse_query

PROSE = (
    'Articles on text formatting systems, including "what you see is what you get" systems. Examples: scribe, bravo.'
)
WITHOUT_MARKS = [
    '5" pipes', 'a 5" and a 6" pipe', 'an unbalanced "quote', 'quote" unbalanced', '"', '""', '" "',
    'screen 15 " wide "',
    "+", "-", "a + b", "a - b", "-5 degrees", "+1 555 0100", "C++", "c++ or -", "e-mail", "state-of-the-art", "x -l",
    "tar -x --verbose", "-", "--", "rock -n- roll", "1-2", "a+b", "+-", "-+cat", "-C++", "a -LRB-man",
    "-excluded", '-"all of it"', "-cat -dog", '"!?"', PROSE, "",
]  # fmt: skip


@pytest.mark.parametrize("text", WITHOUT_MARKS)
def test_a_text_without_marks_is_plain(text: str) -> None:
    assert parse_query(text) == ParsedQuery(text)


PARSED = {
    '"red house" garden': ("red house garden", [Condition("red house", is_exact=True)]),
    'garden ("red house").': ("garden (red house).", [Condition("red house", is_exact=True)]),
    '5" pipe "red house"': ('5" pipe red house', [Condition("red house", is_exact=True)]),
    "+cat dog": ("cat dog", [Condition("cat")]),
    "dog -cat, bird": ("dog , bird", [Condition("cat", is_excluded=True)]),
    'dog -"red house"': ("dog ", [Condition("red house", is_exact=True, is_excluded=True)]),
    '+"red house" +dog -bird': (
        "red house dog ",
        [Condition("red house", is_exact=True), Condition("dog"), Condition("bird", is_excluded=True)],
    ),
    "+E1234-77": ("E1234-77", [Condition("E1234-77", is_exact=True)]),
    "dog +state-of-the-art": ("dog state-of-the-art", [Condition("state-of-the-art", is_exact=True)]),
    'dog -"e-mail"': ("dog ", [Condition("e-mail", is_exact=True, is_excluded=True)]),
    '"747"': ("747", [Condition("747", is_exact=True)]),
    "+猫 犬": ("+猫 犬", []),
    "+東京 犬": ("東京 犬", [Condition("東京")]),
    PROSE + ' +"bravo"': (PROSE + " bravo", [Condition("bravo", is_exact=True)]),
}


@pytest.mark.parametrize("text", PARSED)
def test_marks_are_taken_out_of_the_text(text: str) -> None:
    plain, conditions = PARSED[text]
    assert parse_query(text) == ParsedQuery(plain, tuple(conditions))


@given(st.text(alphabet=st.sampled_from('ab 5"+-(),.é猫\n')) | st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    found = parse_query(text)
    assert (found.text == text) or found.conditions
    assert bool(found.text.strip()) == bool(text.strip())


@pytest.mark.parametrize("part", ['"', ' "a', '" ', "+a-", " -ab", '+"a ', "a ", "(", ' "a" '])
def test_long_texts_are_parsed_too(part: str) -> None:
    assert parse_query(part * 50_000 + "%").text.strip()


@given(st.text(st.characters(exclude_characters='"+-')))
def test_a_text_without_quotes_and_signs_is_left_as_it_is(text: str) -> None:
    assert parse_query(text) == ParsedQuery(text)


TEXTS = {
    "a": "The red house stands by the sea.",
    "b": "A house, red as fire, and red houses.",
    "c": "The cat runs. The dog sings.",
    "d": "Two cats and a bird; error E1234-77 in the red-house.",
    "e": "error E1234 and 77 others, a dog",
    "f": "東京タワーの猫",
    "g": "café au lait, naïve",
}

OTHERS = [each for each in make_documents(300) if not {"red", "house", "sea"} & set(each.text.split())]


@pytest.fixture(scope="module", params=["folder", "buffer"])
def marked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder
) -> Iterator[Index]:
    """Return an index of TEXTS among others, in the lexical folder or in the buffer."""
    documents = [Document(doc_id, text) for doc_id, text in TEXTS.items()]
    folder = tmp_path_factory.mktemp("marked") / "index"
    built, added = (OTHERS + documents, []) if request.param == "folder" else (OTHERS, documents)
    with Index.build(folder, built, encoder=tiny_encoder) as index:
        if added:
            index.add(added)
        yield index


FOUND = {
    '"red house"': {"a", "d"},
    '"RED  house" sea': {"a", "d"},
    '"red houses"': {"b"},
    '"house red"': {"b"},
    '"the sea"': {"a"},
    '"cafe au lait"': {"g"},
    '"東京タワー"': {"f"},
    '"京東"': set(),
    '"no such words"': set(),
    "+E1234-77 error": {"d"},
    "+house +sea": {"a"},
    "+houses -sea": {"b", "d"},
    '+house -"red house"': {"b"},
    "+東京 猫": {"f"},
}


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
@pytest.mark.parametrize("query", FOUND)
def test_only_documents_that_meet_the_marks_are_found(marked: Index, query: str, mode: str) -> None:
    hits = marked.search(query, 100, mode=mode)
    assert {hit.doc_id for hit in hits} == FOUND[query]


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_marks_and_filters_hold_together(marked: Index, mode: str) -> None:
    expected = {
        document.doc_id
        for document in OTHERS
        if "cat" in document.text.split() and "dog" not in document.text and document.metadata["half"] == 0
    }
    hits = marked.search("+cat -dog", 100, mode=mode, where="half = 0")
    assert {hit.doc_id for hit in hits} == expected
    assert expected


def test_a_list_of_queries_gives_each_its_own_marks(marked: Index) -> None:
    queries = ["+cat bird", "cat bird", '"red house"', "-cat bird"]
    assert marked.search(queries, 8) == [marked.search(query, 8) for query in queries]


def test_dense_search_takes_marks_as_text(marked: Index) -> None:
    assert len(marked.search("+cat -dog", 1000, mode="dense")) == len(marked)
    assert marked.search("-cat", 100, mode="lexical") == marked.search("cat", 100, mode="lexical")


def test_words_may_lie_in_any_passage_of_a_document(tmp_path_factory, tiny_encoder: Encoder) -> None:
    start = "the cat sings. a small bird runs to the sea. the queen of the river is old. " * 3
    text = start + "the iron king sleeps in a house of gold and snow. " + start + "the end is near the zebra."
    documents = [Document("long", text), Document("short", "the cat sings to the zebra")]
    with Index.build(tmp_path_factory.mktemp("long") / "index", documents, encoder=tiny_encoder) as index:
        assert index.info().n_passages > 5
        words = text.replace(".", "").split()
        for n in (2, 5, 9):
            for first in range(0, len(words) - n, 3):
                exact = " ".join(words[first : first + n])
                assert "long" in {hit.doc_id for hit in index.search(f'"{exact}"', mode="lexical")}, exact
        assert [hit.doc_id for hit in index.search("+iron +zebra", mode="lexical")] == ["long"]
        assert [hit.doc_id for hit in index.search("cat -iron", mode="lexical")] == ["short"]
        index.delete("long")
        assert index.search('"iron king"', mode="lexical") == []


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_exact_words_that_many_documents_hold_find_the_same(
    marked: Index, mode: str, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = ['"red house"', '"the red"', 'cat "the"', '-"the red" house', '"the" -"red house"', '"house red"']
    expected = [marked.search(query, 1000, mode=mode) for query in queries]
    monkeypatch.setattr(conditions, "MAX_CANDIDATES", 0)
    monkeypatch.setattr(conditions, "MIN_SHARE", 0.0)
    monkeypatch.setattr(snapshot, "find_rows", None)  # nothing is looked for before the search
    with Index.open(marked.folder, encoder=tiny_encoder) as opened:
        assert [opened.search(query, 1000, mode=mode) for query in queries] == expected
        assert all(
            opened.search(query, 2, mode=mode) == hits[:2] for query, hits in zip(queries, expected, strict=True)
        )
