"""The SQL condition of a filter, against an evaluation in plain Python and by hand; attributes of metadata."""

import contextlib
import json
import math
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from filters import match_documents
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_sql import flatten_metadata, to_sql
from hpdsearch.errors import FilterError


def get_values(metadata, field):
    """Return the values of a field: dots select members of objects, a list counts as its members, null as no value."""

    def walk(value, path):
        if isinstance(value, list):
            return [found for member in value for found in walk(member, path)]
        if isinstance(value, dict):
            return [found for key, inner in value.items() for found in walk(inner, [*path, key])]
        return [value] if value is not None and ".".join(path) == field else []

    return walk(metadata, [])


def as_number(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not set(value.strip()) <= set("0123456789+-.eE"):
            return None
        try:
            value = Fraction(value.strip())
        except ValueError:
            return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_moment(text):
    """Return the microseconds from year 1 to an ISO date in UTC; None for other texts. Python's own parser reads it."""
    if len(text) < 10 or text[4] != "-" or text[7] != "-":
        return None
    for time in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f"):
        for zone in ("%z", "") if time else ("",):
            with contextlib.suppress(ValueError):
                moment = datetime.strptime(text.replace("T", " "), "%Y-%m-%d" + time + zone)
                offset = moment.utcoffset() or timedelta()
                return (moment.replace(tzinfo=None) - datetime.min - offset) // timedelta(microseconds=1)
    return None


def matches_like(text, pattern):
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches_like(text[i:], pattern[1:]) for i in range(len(text) + 1))
    if pattern[0] == "_":
        return bool(text) and matches_like(text[1:], pattern[1:])
    escaped = pattern[0] == "\\" and len(pattern) > 1
    return text[:1] == pattern[escaped] and matches_like(text[1:], pattern[1 + escaped :])


def compare_dates(kind, moment, literal):
    """Compare a moment with a date in a filter; a date without a time is a whole day."""
    if moment is None:
        return False
    first = as_moment(literal)
    is_same = first <= moment < first + (24 * 3600 * 10**6 if len(literal) == 10 else 1)
    is_before = moment < first and not is_same
    return {
        "=": is_same,
        "<": is_before,
        "<=": is_before or is_same,
        ">": not is_before and not is_same,
        ">=": not is_before,
    }[kind]


class DateLiteral(str):
    """The text of a date in a filter."""


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value)


COMPARE = {
    "like": matches_like,
    "contains": lambda a, b: b in a,
    "starts with": lambda a, b: a.startswith(b),
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def matches(tree, metadata):
    kind, *rest = tree
    if kind == "not":
        return not matches(rest[0], metadata)
    if kind in ("and", "or"):
        return (all if kind == "and" else any)([matches(part, metadata) for part in rest])
    if kind in ("in", "not in"):
        return any(matches(("=", rest[0], value), metadata) for value in rest[1]) == (kind == "in")
    field, literal = rest
    if kind.startswith("not "):
        return not matches((kind[4:], *rest), metadata)
    if kind == "!=":
        return not matches(("=", field, literal), metadata)
    values = get_values(metadata, field)
    if literal is None:
        return not values
    if isinstance(literal, DateLiteral):
        return any(compare_dates(kind, as_moment(as_text(value)), literal) for value in values)
    if isinstance(literal, bool):
        return any(as_text(value) == json.dumps(literal) for value in values)
    if isinstance(literal, str):
        return any(COMPARE[kind](as_text(value), literal) for value in values)
    return any(COMPARE[kind](as_number(value), literal) for value in values if as_number(value) is not None)


FIELDS = ["year", "lang", "a.b", "Größe", "and", "in", "with space", "x-1", "1st", "'quoted\"", "true"]
WORDS = st.sampled_from(
    ["en", "de", "true", "null", "", " ", "5", "05", "5.0", " 5 ", "1e1", "-3", ".5", "it's", 'a"b']
)
MOMENTS = st.datetimes(datetime(2019, 12, 30), datetime(2020, 1, 3))
DATES = st.builds(
    lambda moment, time, zone: f"{moment:%Y-%m-%d}".rjust(10, "0") + (moment.strftime(time) + zone if time else ""),
    MOMENTS | st.sampled_from([datetime(2020, 1, 1), datetime(2020, 1, 2), datetime(1, 1, 1), datetime(9999, 12, 31)]),
    st.sampled_from(["", "T%H:%M", " %H:%M:%S", "T%H:%M:%S.%f"]),
    st.sampled_from(["", "Z", "+00:00", "+0130", "-05:00", "+14:00"]),
)
DATE_LITERALS = DATES.filter(as_moment).map(DateLiteral)
NEARLY_DATES = st.sampled_from(["2020-1-01", "2020-02-30", "20200101", "2020-01-01T", "2020-01-01x", "2020-01"])
PATTERNS = st.lists(st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "e", "5", "0", ".", "2020", "a", '"', "'"])).map(
    "".join
)
TEXTS = WORDS | DATES | NEARLY_DATES | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4)
NUMBERS = st.sampled_from([0, 1, 5, 10, -3, 0.5, 2020]) | st.integers(-20, 20) | st.floats(-5, 5)
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
METADATA = st.dictionaries(
    st.sampled_from([field for field in FIELDS if "." not in field]),
    SCALARS | st.lists(SCALARS, max_size=3),
    max_size=5,
) | st.fixed_dictionaries({"a": st.fixed_dictionaries({"b": SCALARS | st.lists(SCALARS | st.lists(SCALARS))})})
LITERALS = TEXTS | DATE_LITERALS | NUMBERS.map(float) | st.booleans() | st.none()
LEAVES = (
    st.tuples(st.sampled_from(["=", "!="]), st.sampled_from(FIELDS), LITERALS)
    | st.tuples(
        st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(FIELDS), TEXTS | DATE_LITERALS | NUMBERS.map(float)
    )
    | st.tuples(st.sampled_from(["like", "not like"]), st.sampled_from(FIELDS), PATTERNS)
    | st.tuples(
        st.sampled_from(["contains", "starts with", "not contains", "not starts with"]), st.sampled_from(FIELDS), TEXTS
    )
    | st.tuples(st.sampled_from(["in", "not in"]), st.sampled_from(FIELDS), st.lists(LITERALS, min_size=1, max_size=3))
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner, inner)
    ),
    max_leaves=8,
)


def depth(tree):
    return 1 + max((depth(part) for part in tree[1:]), default=0) if tree[0] in ("not", "and", "or") else 1


def spell(draw, tree):
    """Return one of the many texts of a tree."""

    def case(word):
        return draw(st.sampled_from([word, word.upper(), word.title()]))

    def gap():
        return draw(st.sampled_from([" ", "  ", "\t", "\n "]))

    def maybe_gap():
        return draw(st.sampled_from(["", " ", "\n"]))

    def field_text(name):
        plain = name in ("year", "lang", "a.b", "Größe", "x-1", "true")
        return name if plain and draw(st.booleans()) else f"`{name}`"

    def literal_text(value):
        if value is None or isinstance(value, bool):
            return case(json.dumps(value))
        if isinstance(value, float):
            return draw(st.sampled_from([repr(value), f"{value:+.17e}"]))
        if isinstance(value, DateLiteral):
            quoted = [f"{case('date')}{maybe_gap()}'{value}'", f'{case("date")}{gap()}"{value}"']
            return draw(st.sampled_from(quoted if " " in value else [*quoted, str(value)]))
        quote = draw(st.sampled_from("'\""))
        return quote + value.replace("\\", "\\\\").replace(quote, draw(st.sampled_from("\\" + quote)) + quote) + quote

    def pattern_text(value):
        quote = draw(st.sampled_from("'\""))
        return quote + value.replace(quote, quote * 2) + quote

    def write(tree):
        kind, *rest = tree
        if kind == "not":
            return f"{case('not')}{maybe_gap()}({write(rest[0])}{maybe_gap()})"
        if kind in ("and", "or"):
            parts = [write(part) for part in rest]
            loose = {"and": ("or", "and"), "or": ("or",)}[kind]  # `a and b` binds closer than `or`
            parts = [f"({text})" if part[0] in loose else text for text, part in zip(parts, rest, strict=True)]
            return f"{gap()}{case(kind)}{gap()}".join(parts)
        field = field_text(rest[0])
        if kind in ("in", "not in"):
            words = gap().join(case(word) for word in kind.split())
            members = f"{maybe_gap()},{maybe_gap()}".join(literal_text(value) for value in rest[1])
            return f"{field}{gap()}{words}{maybe_gap()}({members})"
        if kind.removeprefix("not ") in ("like", "contains", "starts with"):
            words = gap().join(case(word) for word in kind.split())
            literal = pattern_text(rest[1]) if kind.endswith("like") else literal_text(rest[1])
            return f"{field}{gap()}{words}{maybe_gap()}{literal}"
        if rest[1] is None and draw(st.booleans()):
            words = ["is", "not", "null"] if kind == "!=" else ["is", "null"]
            return gap().join([field, *(case(word) for word in words)])
        op = draw(st.sampled_from({"=": ["=", "=="], "!=": ["!=", "<>"]}.get(kind, [kind])))
        return f"{field}{maybe_gap()}{op}{maybe_gap()}{literal_text(rest[1])}"

    return maybe_gap() + write(tree) + maybe_gap()


@st.composite
def trees_and_spellings(draw):
    tree = draw(TREES.filter(lambda tree: depth(tree) <= 5))
    return tree, spell(draw, tree)


@settings(max_examples=150, deadline=None)
@given(trees_and_spellings(), st.lists(METADATA, min_size=1, max_size=6))
def test_sqlite_selects_the_documents_that_plain_python_selects(tree_and_text, corpus):
    tree, text = tree_and_text
    assert match_documents(text, corpus) == [doc for doc, metadata in enumerate(corpus) if matches(tree, metadata)], (
        text
    )


POSITIVE_LEAVES = LEAVES.filter(lambda leaf: not leaf[0].startswith(("not ", "!=")) and leaf[2] is not None)


@st.composite
def comparisons_and_spellings(draw):
    leaf = draw(POSITIVE_LEAVES.filter(lambda leaf: not isinstance(leaf[2], list) or None not in leaf[2]))
    return leaf, spell(draw, leaf)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(comparisons_and_spellings(), st.lists(METADATA, min_size=1, max_size=6))
def test_a_check_refuses_only_comparisons_that_match_no_document(leaf_and_text, corpus):
    leaf, text = leaf_and_text
    # A list is refused as a whole if one of its members can never match.
    leaves = [("=", leaf[1], value) for value in leaf[2]] if leaf[0] == "in" else [leaf]
    found = [[doc for doc, metadata in enumerate(corpus) if matches(one, metadata)] for one in leaves]
    try:
        assert match_documents(text, corpus, check=True) == sorted(set().union(*found)), text
    except FilterError:
        assert [] in found, text


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(FIELDS),
    TEXTS | NUMBERS.map(float) | st.booleans() | st.none(),
    st.lists(METADATA, min_size=1, max_size=6),
)
def test_unequal_is_the_complement_of_equal(field, literal, corpus):
    value = json.dumps(literal) if not isinstance(literal, str) else json.dumps(literal, ensure_ascii=False)
    if isinstance(literal, str):
        value = "'" + literal.replace("\\", "\\\\").replace("'", "\\'") + "'"
    equal, unequal = match_documents(f"`{field}` = {value}", corpus), match_documents(f"`{field}` != {value}", corpus)
    assert sorted(equal + unequal) == list(range(len(corpus)))


CORPUS = [
    {"year": 2019, "lang": "en"},
    {"year": 2020, "lang": "de"},
    {"year": "2021", "lang": ["en", "fr"]},
    {"year": None, "lang": []},
    {"zip": "02134", "open": True, "author": {"name": "Eve", "born": [1970, 1971]}},
]


@pytest.mark.parametrize(
    ("where", "docs"),
    [
        ("year >= 2020", [1, 2]),
        ("year = 2020.0", [1]),
        ("year = 2.02e3", [1]),
        ("year == +2021", [2]),
        ("year = '2020'", [1]),  # the text as it is written
        ("year = '2020.0'", []),
        ("year < '202'", [0]),  # strings are compared as strings
        ("zip = 2134", [4]),
        ("zip = '2134'", []),
        ("zip = '02134'", [4]),
        ("lang = 'en'", [0, 2]),
        ("lang != 'en'", [1, 3, 4]),
        ("lang in ('fr', 'de')", [1, 2]),
        ("lang not in ('fr', 'de')", [0, 3, 4]),
        ("lang is null", [3, 4]),
        ("lang is not null", [0, 1, 2]),
        ("year = null or year > 2020", [2, 3, 4]),
        ("year in (null, 2019)", [0, 3, 4]),
        ("open = true", [4]),
        ("open = false", []),
        ("open != true", [0, 1, 2, 3]),
        ("open = 1", []),
        ("author.name = 'Eve'", [4]),
        ("author is null", [0, 1, 2, 3]),  # an object has the values of its fields
        ("author is not null", [4]),
        ("author.born = 1971", [4]),
        ("author.born != 1971", [0, 1, 2, 3]),
        ("author.born > 1970 and author.born < 1971", [4]),  # one attribute for each member
        ("not year > 2019 and lang = 'en'", [0]),
        ("not (year > 2019 and lang = 'en')", [0, 1, 3, 4]),
        ("lang = 'de' or lang = 'en' and year = 2019", [0, 1]),
        ("(lang = 'de' or lang = 'en') and year = 2019", [0]),
        ("not not lang = 'de'", [1]),
        ("LANG = 'de'", []),  # names of fields are not changed
    ],
)
def test_filters_select_the_documents_chosen_by_hand(where, docs):
    assert match_documents(where, CORPUS) == docs


def test_numbers_are_parsed_in_all_spellings():
    corpus = [{"x": value} for value in (100000, -3, 0.5, "1E5", " 5 ", "٣", "1_000", "0x10", "inf", "nan", "")]
    for where, docs in [
        ("x = 1e5", [0, 3]),
        ("x = -3", [1]),
        ("x=-3.0", [1]),
        ("x = .5", [2]),
        ("x = 5.", [4]),
        ("x = 3", [5]),
        ("x < 1e400", [0, 1, 2, 3, 4, 5]),  # a text that is not written like a number has no value
    ]:
        assert match_documents(where, corpus) == docs, where


def test_dates_beyond_four_digits_of_the_year_are_ordered_by_time():
    days = [
        "-12000-01-01",
        "-0044-03-15",
        "0000-02-29",
        "0001-01-01",
        "9999-12-31T23:59:59-01:00",
        "+10000-01-02",
        "+99999-01-01",
    ]
    corpus = [{"x": day} for day in [*days, "-5", "+5", "-5-01-01", "text"]]
    for i, day in enumerate(days):
        assert match_documents(f"x = {day}", corpus) == [i], day
        assert match_documents(f"x >= {day}", corpus) == list(range(i, len(days))), day
        assert match_documents(f"x < {day}", corpus) == list(range(i)), day
    assert match_documents("x = +10000-01-01", corpus) == [4]


def test_integers_beyond_all_floats_are_infinite():
    corpus = [{"x": 10**400}, {"x": -(10**400)}, {"x": 7}, {"x": "1" + "0" * 400}]
    assert match_documents("x > 1e308", corpus) == [0, 3]
    assert match_documents("x < -1e308", corpus) == [1]
    assert match_documents("x = 1" + "0" * 400, corpus) == [0, 3]
    assert match_documents("x = '1" + "0" * 400 + "'", corpus) == [0, 3]


def test_long_integers_are_told_apart_as_text():
    corpus = [{"id": 9007199254740992}, {"id": 9007199254740993}]
    assert match_documents("id = '9007199254740993'", corpus) == [1]


@pytest.mark.parametrize("space", ["\x1c", "\x1f", "\x85", "\xa0", "\u2003", "\n"])
def test_white_space_around_a_number_is_ignored(space):
    assert flatten_metadata({"x": f"{space}1.5{space}"}) == [("x", f"{space}1.5{space}", 1.5)]


def test_attributes_equal_those_written_by_hand():
    metadata = {"n": 1, "f": 2.5, "t": "x", "b": False, "none": None, "l": [1, [2, None], "1"], "d": {"e": {"g": "3"}}}
    assert flatten_metadata(metadata) == [
        ("b", "false", None),
        ("d.e.g", "3", 3.0),
        ("f", "2.5", 2.5),
        ("l", "1", 1.0),
        ("l", "2", 2.0),
        ("n", "1", 1.0),
        ("t", "x", None),
    ]
    assert flatten_metadata({}) == flatten_metadata({"a": [], "b": {}, "c": None}) == []


@settings(max_examples=60)
@given(METADATA | st.dictionaries(st.text(), st.recursive(SCALARS, st.lists, max_leaves=5)))
def test_attributes_hold_each_field_and_text_once(metadata):
    keys = [attribute[:2] for attribute in flatten_metadata(metadata)]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE documents; --", '" OR 1=1 --', "?) OR (1=1", "%s {0} :x @y $z", "x\x00y"]
)
def test_user_input_never_becomes_sql(hostile):
    corpus = [{"x": hostile}, {hostile: 1}, {"x": "other"}]
    literal = "'" + hostile.replace("'", "\\'") + "'"
    assert match_documents(f"x = {literal}", corpus) == [0]
    assert match_documents(f"x in ({literal}, 'none')", corpus) == [0]
    assert match_documents(f"`{hostile}` = 1", corpus) == [1]
    assert match_documents(f"`{hostile}` is null", corpus) == [0, 2]
    condition, _ = to_sql(parse_filter(f"x = {literal} or `{hostile}` = 1 or x in ({literal})"))
    assert hostile not in condition
