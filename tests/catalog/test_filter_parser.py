"""The parser of filters: the tree, the errors and the limits of size."""

import pytest
from filters import match_documents
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpdsearch.catalog.dates import DateSpan
from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_sql import to_sql
from hpdsearch.catalog.filter_tree import Both, Comparison, Either, Member, Not, Op, OwnField
from hpdsearch.errors import FilterError


@pytest.mark.parametrize(
    ("where", "character", "message"),
    [
        ("", 1, 'expected a field, "not" or "(", got the end'),
        ("   ", 4, 'expected a field, "not" or "(", got the end'),
        ("year", 5, "expected an operator (= != < <= > >= in is like contains starts with), got the end"),
        ("year =", 7, 'expected a literal ("text", number, date, true, false, null), got the end'),
        ("year = en", 8, "expected a literal (\"text\", number, date, true, false, null), got 'en'"),
        ("year 2020", 6, "expected an operator (= != < <= > >= in is like contains starts with), got '2020'"),
        ("year = 2020 lang = 'en'", 13, 'expected "and", "or" or the end, got \'lang\''),
        ("year = 2020)", 12, 'expected "and", "or" or the end, got \')\''),
        ("(year = 2020", 13, 'expected ")", got the end'),
        ("year = 2020 and", 16, 'expected a field, "not" or "(", got the end'),
        ("and = 1", 1, 'expected a field, "not" or "(", got \'and\''),
        ("2020 = year", 1, 'expected a field, "not" or "(", got \'2020\''),
        ("lang in ()", 10, "expected a literal (\"text\", number, date, true, false, null), got ')'"),
        ("lang in 'en'", 9, 'expected "(", got "\'en\'"'),
        ("lang in ('en' 'de')", 15, 'expected "," or ")", got "\'de\'"'),
        ("lang in ('en',)", 15, "expected a literal (\"text\", number, date, true, false, null), got ')'"),
        ("lang not 'en'", 10, 'expected "in", "like", "contains" or "starts with", got "\'en\'"'),
        ("lang is 'en'", 9, 'expected "null", got "\'en\'"'),
        ("lang is not 5", 13, "expected \"null\", got '5'"),
        ("open > true", 8, "> expects a number, a string or a date, got true"),
        ("open  <= NULL", 10, "<= expects a number, a string or a date, got NULL"),
        ("lang like 5", 11, "expected a string for \"like\", got '5'"),
        ("lang starts 'a'", 6, "expected an operator (= != < <= > >= in is like contains starts with), got 'starts'"),
        ("lang not starts with null", 22, "expected a string for \"starts with\", got 'null'"),
        ("@name = 1", 1, "expected one of @id, @doc_id, @title, @text, @source, got '@name'"),
        ("x \udcff", 3, "expected Unicode text, got a byte that is not UTF-8"),
        ("lang = 'en", 8, 'expected a closing quote, got "\'en"'),
        ('lang = "en\\"', 8, "expected a closing quote, got '\"en\\\\\"'"),
        ("`la ng = 'en'", 1, "expected a closing quote, got \"`la ng = 'en'\""),
        ("x = 1 ; DROP TABLE documents", 7, "expected a field, an operator or a literal, got '; DROP TABLE documen'"),
        ("x = 5and y = 1", 5, "expected a field, an operator or a literal, got '5and y = 1'"),
        ("x = 1.2.3", 5, "expected a field, an operator or a literal, got '1.2.3'"),
        ("a = 1\n  &&\tb = 2", 9, "expected a field, an operator or a literal, got '&&\\tb = 2'"),
    ],
)
def test_an_error_names_and_points_at_the_character(where, character, message):
    with pytest.raises(FilterError) as caught:
        parse_filter(where)
    first, line, mark = str(caught.value).split("\n")
    assert first == f"where: character {character}: {message}"
    assert line == "  " + where.replace("\n", " ").replace("\t", " ").replace("\udcff", "?")
    assert mark == " " * (character + 1) + "^"


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            [
                "x",
                "=",
                "1",
                "'a'",
                '"',
                "`",
                "(",
                ")",
                ",",
                "and",
                "not",
                "in",
                "is",
                "null",
                "\\",
                "like",
                "@id",
                "2024-01-31",
                "date",
                "\udcff",
            ]
        )
    ).map(" ".join)
)
@example("\x00")
@example("`" * 3)
@example("x = '\\")
def test_any_text_is_a_filter_or_a_filter_error(text):
    try:
        condition, parameters = to_sql(parse_filter(text))
    except FilterError:
        return
    assert condition.count("?") == len(parameters)


def nest_filter(levels, field="y", members="1, 'a', null"):
    """Return a filter of n levels, each `y = 1 or y = 3 and (...)`: this order costs SQLite's parser most."""
    text = "x in (1, 'a', null)"
    for level in range(levels):
        text = f"{field} not in ({members}) {('or', 'and')[level % 2]} y = 3 and ({text})"
    return text


@pytest.mark.parametrize(
    "text",
    [
        nest_filter(9),
        nest_filter(9, "@title"),
        nest_filter(9, "y", "1, 'a', 2024-01-31, null"),
        nest_filter(9, "@title", "1, 'a', 2024-01-31, null"),
        nest_filter(9, "y", "1, 'a', 2024-01-31, null").replace("x in (1, 'a', null)", "x not like '1%'"),
        "not (" * 4 + "x = 1" + ")" * 4,
        "(" * 9 + "x = 1" + ")" * 9,
    ],
)
def test_the_deepest_nesting_allowed_is_answered(text):
    assert match_documents(text, [{"x": 1}, {"x": 2}]) in ([0], [], [0, 1], [1])


@pytest.mark.parametrize("text", [nest_filter(10), "not " * 10 + "x = 1", "(" * 2000 + "x = 1" + ")" * 2000])
def test_deeper_nesting_is_an_error(text):
    with pytest.raises(FilterError, match="nested deeper than 10 levels"):
        parse_filter(text)


def test_a_chain_of_300_comparisons_is_answered_and_a_longer_one_is_an_error():
    corpus = [{"x": 299}, {"x": 300}]
    chain = [f"x = {i}" for i in range(301)]
    assert match_documents(" or ".join(chain[:300]), corpus) == [0]
    assert match_documents(" and ".join(f"x not in ({i}, 'a', null)" for i in range(300)), corpus) == [1]
    inner = " or ".join(f"x in ({i}, 'a')" for i in range(280))
    assert match_documents(nest_filter(9).replace("x in (1, 'a', null)", inner), corpus) == []
    with pytest.raises(FilterError, match='more than 300 comparisons; join those of a field with "in"') as caught:
        parse_filter(" or ".join(chain))
    assert f"character {len(' or '.join(chain[:300])) + 5}:" in str(caught.value)


@pytest.mark.parametrize(
    ("comparison", "docs"),
    [
        ("not x contains '1'", []),
        ("x > 2024-01-31", [1]),
        ("not @title in (1, 'a', null, 'b')", []),
        ("@id like '%1'", [1]),
        ("x is null", []),
    ],
)
def test_300_comparisons_of_each_kind_are_answered(comparison, docs):
    text = " and ".join([comparison] * 300)
    assert match_documents(text, [{"x": 1}, {"x": "2024-02-01T00:00-01:00"}]) == docs


def test_300_dates_are_answered_and_more_are_an_error():
    days = [f"2023-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 27)][:300]
    corpus = [{"x": days[0]}, {"x": days[-1] + "T12:00"}, {"x": "2024-01-01"}]
    assert match_documents(f"x in ({','.join(days[:299])})", corpus) == [0]
    assert match_documents(f"not x in ({','.join(days[1:])})", corpus) == [0, 2]
    with pytest.raises(FilterError, match="more than 300 comparisons"):
        parse_filter(f"x in ({','.join(days)}, 2024-01-01)")


def test_a_list_of_10000_members_is_answered_and_a_longer_one_is_an_error():
    members = ", ".join(str(i) for i in range(9_999))
    assert match_documents(f"x in ({members}, 'last')", [{"x": 9_998}, {"x": 9_999}, {"x": "last"}]) == [0, 2]
    assert match_documents(f"x not in ({members}, null)", [{"x": 9_998}, {"x": 9_999}, {}]) == [1]
    with pytest.raises(FilterError, match="more than 10000 literals"):
        parse_filter(f"x in ({members}, 1, 2)")


def test_parse_returns_the_tree():
    tree = parse_filter("a = 1 and (b is not null or not `c d` in ('x', false)) and @title not like 'x%'")
    a, b = Comparison("a", Op.EQ, 1.0, 0, 4), Comparison("b", Op.NE, None, 11, 20)
    c = Member("c d", ("x", False), 32, (42, 47))
    d = Comparison(OwnField.TITLE, Op.LIKE, "x%", 59, 75)
    assert tree == Both((a, Either((b, Not(c))), Not(d)))


MIDNIGHT = "1002024-01-31T00:00:00.000000000"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'it''s'", "it's"),
        ("''''", "'"),
        ("''", ""),
        ('"say ""yes"""', 'say "yes"'),
        ("'say \"\"'", 'say ""'),
        (r"'it\'s'", "it's"),
        ("2024-01-31", DateSpan(MIDNIGHT, "1002024-01-31T23:59:59.999999999")),
        ("2024-01-31t00:00z", DateSpan(MIDNIGHT, MIDNIGHT)),
        ("2024-01-30T19:00-05", DateSpan(MIDNIGHT, MIDNIGHT)),
        ("DATE '2024-01-31 01:30:00.00 +0130'", DateSpan(MIDNIGHT, MIDNIGHT)),
        ('date "0001-01-01"', DateSpan("1000001-01-01T00:00:00.000000000", "1000001-01-01T23:59:59.999999999")),
        ("0000-01-01T00:00+00:01", DateSpan(*["0999999-12-31T23:59:00.000000000"] * 2)),
        ("+12000-02-29T00:00", DateSpan(*["1012000-02-29T00:00:00.000000000"] * 2)),
        ("-0044-03-15", DateSpan("0999956-03-15T00:00:00.000000000", "0999956-03-15T23:59:59.999999999")),
    ],
)
def test_literals_have_the_values_written_by_hand(literal, value):
    tree = parse_filter(f"x = {literal}")
    assert isinstance(tree, Comparison)
    assert tree.value == value
    assert parse_filter(f"x in ({literal}, {literal})") == Member("x", (value,) * 2, 0, (6, 8 + len(literal)))


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "2024-1-31", "2024-13-01", "2024-01-31T25:00", "2024-01-31T12:30+24:00", "+12001-02-29"],
)
def test_a_date_that_does_not_exist_is_an_error(text):
    for literal, character in ((text, 5), (f"date '{text}'", 10)):
        with pytest.raises(FilterError, match=f"character {character}: expected a date such as 2024-01-31"):
            parse_filter(f"x > {literal}")
