"""Analysis of texts: stems, stop words, highlights."""

from hypothesis import given, settings
from hypothesis import strategies as st
from lexical_folders import write_folder

from hpdsearch.lexical import (
    Analysis,
    AnalysisVersion,
    LexicalReader,
    find_spans,
    query_stems,
)
from hpdsearch.lexical.analysis import analyzer, split_into_stems

FIRST = Analysis(AnalysisVersion.WORDS)


def test_words_are_found_by_their_stem_without_case_and_accents(tmp_path):
    texts = ["Jumping FOXES", "naïve café", "the end", "Straße", "東京 tower", "x" * 300 + " giant", "don't stop"]
    reader = LexicalReader(write_folder(tmp_path / "l", [("", text) for text in texts]))
    for query, rows in [
        ("jumped fox", [0]),
        ("NAIVE", [1]),
        ("cafés", [1]),
        ("strasse", [3]),
        ("東京", [4]),
        ("towers", [4]),
        ("giant", [5]),
        ("x" * 300, []),  # no word of the text is so long
        ("stopping", [6]),
        ("ends", [2]),
        ("fo", []),
    ]:
        assert sorted(reader.search(query, 10)[0].tolist()) == rows, query


def test_stop_words_count_only_if_a_query_has_no_other_words(tmp_path):
    reader = LexicalReader(write_folder(tmp_path / "l", [("", "the who"), ("", "the lake"), ("", "lake district")]))
    assert sorted(reader.search("the", 10)[0].tolist()) == [0, 1]
    assert sorted(reader.search("the lake", 10)[0].tolist()) == [1, 2]
    assert query_stems("the lakes of the north") == ["lake", "north"]
    assert query_stems("To be, or not to be?") == ["to", "be", "or", "not", "to", "be"]
    assert query_stems("What is the name of the lake?") == ["name", "lake"]
    assert query_stems("whose lakes are these, and how do I find them?") == ["lake", "find"]
    assert query_stems("The Who") == ["the", "who"]
    assert query_stems("?! -- ") == query_stems("") == []
    assert len(reader.search("?!", 10)[0]) == 0


def highlights(query, passage):
    return find_spans(frozenset(query_stems(query)), passage)


PIECES = ["😀", "𝒳 ", "e\u0301", " ", "\u0915\u094d\u0937 ", "🇩🇪 ", "ﬁ ", "İ ", "\r\n", "\x00", "ß-", "…", "\u200d"]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(["lake", "Lakes", "LAKE"]))))
def test_highlights_are_characters_not_bytes(parts):
    passage, expected = "", []
    for noise, word in parts:
        passage += noise + " "
        expected.append((len(passage), len(passage) + len(word)))
        passage += word + " "
    assert highlights("my lakes", passage) == tuple(expected)
    assert [passage[start:end].lower().rstrip("s") for start, end in expected] == ["lake"] * len(parts)


def test_highlights_equal_those_written_by_hand():
    assert highlights("naive Café", "Ünder NAÏVE cafés, 𝒳 naïvely") == ((6, 11), (12, 17), (21, 28))
    assert highlights("the lake", "the lake of the lakes") == ((4, 8), (16, 21))
    assert highlights("the", "the lake") == ((0, 3),)
    assert find_spans({"lake", "café"}, "the lakes, cafe lake") == ((4, 9), (16, 20))
    assert highlights("lake", "") == highlights("", "lake") == highlights("sea", "lake") == ()


@settings(max_examples=200)
@given(st.text() | st.lists(st.sampled_from([*PIECES, "Lakes", "it's", "x_y", "naïve"])).map("".join))
def test_highlights_are_the_same_if_tantivy_gives_no_offsets(text):
    tokens = [(start, end) for start, end, stem in split_into_stems(text)]
    assert tuple(tokens) == find_spans({stem for _, _, stem in split_into_stems(text)}, text, FIRST)
    assert [stem for _, _, stem in split_into_stems(text)] == list(analyzer().analyze(text))
