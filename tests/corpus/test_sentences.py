"""Sentences of a text."""

from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.corpus.passages import split_sentences


def test_sentences_end_at_marks_and_paragraphs_but_not_after_abbreviations() -> None:
    text = 'Dr. Smith came at 5 p.m. today. "Why?" He asked!\n\nA heading\n\n- one item\n- another. End'
    expected = [
        "Dr. Smith came at 5 p.m. today.",
        '"Why?"',
        "He asked!",
        "A heading",
        "- one item",
        "- another.",
        "End",
    ]
    assert split_sentences(text) == expected
    assert split_sentences("  ") == []
    assert split_sentences("猫がいる。犬もいる。") == ["猫がいる。", "犬もいる。"]


@given(st.text())
def test_no_character_but_white_space_is_lost(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
