"""Hits as lines of a terminal: excerpts, widths of characters, highlights."""

import re
import unicodedata
from dataclasses import replace

import pytest
import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.cli.display import format_hit, format_passage
from hpdsearch.cli.output import Styled
from hpdsearch.records import Explanation, Hit


def make_hit(passage, highlights=(), *, doc_id="id", title=""):
    return Hit(doc_id, 0.5, title, passage, passage, tuple(highlights), {})


def plain(line):
    return "".join(part.text if isinstance(part, Styled) else part for part in line)


def show(hit, width=100):
    return [plain(line) for line in format_passage(hit, width)]


def count_columns(text):
    """Count the columns of a terminal from the Unicode database: wide characters take two, combining ones none."""
    letters = [character for character in text if not unicodedata.combining(character)]
    return len(letters) + sum(unicodedata.east_asian_width(character) in "WF" for character in letters)


def test_an_excerpt_holds_the_most_matches_and_no_control_characters():
    passage = "hay " + "word " * 200 + "needle\x1b[31m in the hay " + "word " * 200
    at = passage.index("needle")
    spans = ((0, 3), (at, at + 6), (at + 18, at + 21))
    lines = [plain(line) for line in format_hit(1, make_hit(passage, spans, doc_id="id\n1"))]
    shown = " ".join(lines)
    assert r"needle\x1b[31m in the hay" in shown
    assert len(shown) < 500
    assert lines[1].strip().startswith("…")
    assert "\x1b" not in shown
    assert "id 1" in lines[0]


@pytest.mark.parametrize("width", [15, 35, 36, 75])
@pytest.mark.parametrize(
    "text",
    [
        "地震を測る機械は地震計と呼ばれる。" * 8,
        "the seismograph 地震計 measures 지진 tremors of the ground " * 3,
        "e\u0301tude " * 30,
        "かき\u3099くけ\u3099こ" * 20,
        "🙂🎉" * 40,
        "plain words only, as in any English sentence " * 5,
    ],
    ids=["Japanese", "mixed", "accents", "voiced kana", "emoji", "English"],
)
def test_no_line_takes_more_columns_than_the_width(text, width):
    lines = show(make_hit(text[:300]), width)
    assert max(map(count_columns, lines)) <= width
    assert max(map(count_columns, lines)) > width - 15, "lines are filled"
    assert "".join("".join(lines).split()) == "".join(text[:300].split())


@pytest.mark.parametrize("character", ["震", "e\u0301", "x"])
def test_an_excerpt_of_a_text_without_spaces_is_long_and_holds_the_match(character):
    passage = character * 400 + "needle" + character * 400
    at = passage.index("needle")
    shown = "".join(show(make_hit(passage, [(at, at + 6)])))
    assert "needle" in shown
    assert 250 <= len(shown) <= 330
    assert shown[:2] == "…" + character[0], "an accent is not parted from its letter"


characters = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\n\t \x1b\u202e\u200d\u0301震🙂"))
texts = st.text(characters, max_size=600)


@given(texts, st.lists(st.tuples(st.integers(0, 600), st.integers(1, 20)), max_size=5), st.integers(10, 60))
def test_any_text_with_any_highlights_is_shown_without_controls_and_without_loss(text, spans, width):
    highlights = sorted((start, start + length) for start, length in spans if start + length <= len(text))
    lines = format_passage(make_hit(text, highlights), width)
    shown = "".join(map(plain, lines))
    assert not any(unicodedata.category(character) == "Cc" for character in shown)
    assert not set("\u202e\u2066\u200f") & set(shown)
    assert all(character in shown for character in text[:200] if character.isalnum()) or len(text) > 320
    marked = {part.text for line in lines for part in line if isinstance(part, Styled)}
    if text.isascii() and text.isalnum() and len(text) <= 320:
        assert set("".join(marked)) == {text[i] for start, end in highlights for i in range(start, end)}


@given(st.text("ab -.,", max_size=80), st.integers(3, 30))
def test_ascii_is_wrapped_as_other_text_is(text, width):
    """ASCII is wrapped by textwrap, which starts faster; the width of its characters is always one."""
    expected = wcwidth.wrap(re.sub(" +", " ", text), width, break_on_hyphens=False)
    assert show(make_hit(text), width) == expected


def test_overlapping_highlights_are_shown_once():
    lines = format_passage(make_hit("地震計です", [(0, 2), (1, 3), (1, 2)]), 40)
    assert [plain(line) for line in lines] == ["地震計です"]
    assert "".join(part.text for part in lines[0] if isinstance(part, Styled)) == "地震計"


def test_a_highlight_continues_on_the_next_line():
    lines = format_passage(make_hit("x" * 30 + " b", [(0, 30)]), 20)
    assert [list(line) for line in lines] == [
        [Styled("x" * 20, "magenta", bold=True)],
        [Styled("x" * 10, "magenta", bold=True), " b"],
    ]


def test_the_nearest_sentence_is_underlined_and_matches_stay_highlighted():
    hit = make_hit("A cat slept.  The ground shook.", [(18, 24)])
    explained = replace(hit, explanation=Explanation(1, 0.5, 1, 2.0, 2.0, 1.0, (), 0.0, "The ground shook.", 0.6))
    (line,) = format_passage(explained, 80)
    assert line == [
        "A cat slept. ",
        Styled("The ", underline=True),
        Styled("ground", "magenta", bold=True, underline=True),
        Styled(" shook.", underline=True),
    ]


def test_a_long_passage_without_matches_is_shown_where_its_nearest_sentence_is():
    passage = "Nothing of interest. " * 40 + "The ground shook. " + "Nothing else. " * 40
    explanation = Explanation(1, 0.5, None, 0.0, 0.0, 0.0, (), 0.0, "The ground shook.", 0.6)
    lines = format_passage(replace(make_hit(passage), explanation=explanation), 100)
    underlined = [part.text for line in lines for part in line if isinstance(part, Styled) and part.underline]
    assert " ".join(underlined) == "The ground shook."


@pytest.mark.parametrize(("columns", "widest"), [("40", 40), ("200", 110), ("10", 20)])
def test_lines_fit_the_terminal(monkeypatch, columns, widest):
    monkeypatch.setenv("COLUMNS", columns)
    lines = [plain(line) for line in format_hit(1, make_hit("地震 and words of a passage " * 12))]
    assert widest - 5 <= max(map(count_columns, lines[1:])) <= widest


def test_marks_of_direction_are_left_out_of_prose_and_shown_in_ids():
    lines = [plain(line) for line in format_hit(1, make_hit("a\u202eb\u200fc", doc_id="x\u202ey", title="t\u2066u"))]
    assert lines == [r"  1. 0.5000  tu  [x\u202ey]", "     abc"]
