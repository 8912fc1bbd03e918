"""Fields of .jsonl, .csv and .tsv records."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpdsearch.corpus import Fields, ReadOptions, ReadStats, read_corpus
from hpdsearch.errors import CorpusError

FILLED = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(str.strip)
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | FILLED,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(FILLED, values, max_size=3),
    max_leaves=5,
)


def read_text(tmp_path, name, content, *, stats=None, **options):
    (tmp_path / name).write_bytes(content.encode())
    return list(read_corpus(tmp_path / name, ReadOptions(**options), stats=stats))


# ---- round trips


@ONE_FOLDER
@given(records=st.lists(st.tuples(FILLED, FILLED, JSON_VALUES), min_size=1, max_size=5), ascii_only=st.booleans())
def test_jsonl_records_survive_a_round_trip(tmp_path, records, ascii_only):
    lines = [
        json.dumps({"_id": i, "title": title, "text": text, "more": more}, ensure_ascii=ascii_only)
        for i, (title, text, more) in enumerate(records)
    ]
    documents = read_text(tmp_path, "a.jsonl", "\n".join(lines))
    assert [(d.title, d.text, d.metadata["more"]) for d in documents] == records
    assert [d.doc_id for d in documents] == [str(i) for i in range(len(records))]


# ---- fields


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"key": "k", "body": "b", "head": "h", "text": "t", "id": "i"}'),
        ("a.csv", "key,body,head,text,id\nk,b,h,t,i"),
        ("a.tsv", "key\tbody\thead\ttext\tid\r\nk\tb\th\tt\ti\r\n"),
    ],
)
def test_named_fields_are_used_and_the_others_are_metadata(tmp_path, name, content):
    (document,) = read_text(tmp_path, name, content, fields=Fields("key", "body", "head"))
    assert (document.doc_id, document.text, document.title) == ("k", "b", "h")
    assert document.metadata == {"text": "t", "id": "i"}


@pytest.mark.parametrize(
    ("value", "doc_id"), [('"a b"', "a b"), ("7", "7"), ("-7", "-7"), ('"07"', "07"), (str(10**30), "1" + "0" * 30)]
)
def test_ids_are_strings_or_integers(tmp_path, value, doc_id):
    (document,) = read_text(tmp_path, "a.jsonl", f'{{"id": {value}, "text": "t"}}')
    assert document.doc_id == doc_id


def test_a_record_without_an_id_is_named_by_file_and_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text('text,n\n"one\nline",1\ntwo,2\n')
    assert [(d.doc_id, d.source) for d in read_corpus("a.csv")] == [
        (f"a.csv:{line}", f"{tmp_path}/a.csv:{line}") for line in (2, 4)
    ]


def test_a_document_that_has_only_a_title_gets_it_as_text(tmp_path):
    stats = ReadStats()
    documents = read_text(
        tmp_path,
        "a.jsonl",
        '{"text": " ", "title": "T"}\n{"text": "", "title": ""}\n\n{"text": "x", "title": null}',
        stats=stats,
    )
    assert [(d.text, d.title) for d in documents] == [("T", "T"), ("x", "")]
    assert stats.n_empty == 2


def test_u2028_does_not_end_a_json_line(tmp_path):
    (document,) = read_text(tmp_path, "a.jsonl", '{"text": "a\u2028b\x85c"}\r\n')
    assert document.text == "a\u2028b\x85c"


def test_surrogate_pairs_are_characters(tmp_path):
    (document,) = read_text(tmp_path, "a.jsonl", r'{"text": "\ud83d\ude00 \\ud800"}')
    assert document.text == "\U0001f600 \\ud800"


# ---- errors

JSONL_ERRORS = [
    ('{"text": }', "expected a JSON object, got an error at column 10: Expecting value"),
    ("plain text", "expected a JSON object, got an error at column 1: Expecting value"),
    ('["text"]', 'expected a JSON object, got ["text"]'),
    ('"text"', 'expected a JSON object, got "text"'),
    ('{"text": 5}', 'expected a "text" string, got the number 5'),
    ('{"text": ["a"]}', 'expected a "text" string, got a list'),
    ('{"body": "a"}', 'expected a "text" string, got the fields body'),
    ("{}", 'expected a "text" string, got no fields'),
    ('{"text": "a", "title": {}}', 'expected a "title" string, got an object'),
    ('{"text": "a", "id": ""}', "expected an \"id\" with characters in it, got ''"),
    ('{"text": "a", "id": " "}', "expected an \"id\" with characters in it, got ' '"),
    ('{"text": "a", "id": null}', 'expected an "id" string or integer, got null'),
    ('{"text": "a", "id": 1.0}', 'expected an "id" string or integer, got the number 1.0'),
    ('{"text": "a", "id": true}', 'expected an "id" string or integer, got a boolean'),
    ('{"text": "a", "id": 1, "id": 2}', 'expected different names, got "id" twice in one object'),
    ('{"text": "a", "x": {"y": 1, "y": 1}}', 'expected different names, got "y" twice in one object'),
    ('{"text": "a", "id": 1, "_id": 2}', 'expected "id" or "_id", got both; say which one is the doc_id'),
    ('{"text": "a", "x": NaN}', "expected a finite number, got NaN"),
    ('{"text": "a", "x": -Infinity}', "expected a finite number, got -Infinity"),
    ('{"text": "a", "x": 1e999}', "expected a finite number, got 1e999"),
    (r'{"text": "a \ud800"}', "expected Unicode text, got half of a surrogate pair"),
    (r'{"text": "a", "x": {"\uDFFF": 1}}', "expected Unicode text, got half of a surrogate pair"),
    (r'{"text": "a\u0000b"}', "expected text, got a NUL character in it"),
    ('{"text": "a", "x": ' + "[" * 100_000, "expected a JSON object, got one that is nested too deeply"),
    ('{"text": "a", "x": ' + "1" * 5000 + "}", "Exceeds the limit"),
]


@pytest.mark.parametrize(("line", "message"), JSONL_ERRORS, ids=[message for _, message in JSONL_ERRORS])
def test_a_wrong_json_line_is_refused(tmp_path, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(CorpusError) as error:
        list(read_corpus("a.jsonl"))
    assert str(error.value).startswith(f"a.jsonl:2: {message}")


def test_a_named_id_must_be_in_each_json_object(tmp_path):
    with pytest.raises(
        CorpusError, match=r'a\.jsonl:1: expected a field "key" for the doc_id, got the fields id, text'
    ):
        read_text(tmp_path, "a.jsonl", '{"id": 1, "text": "a"}', fields=Fields(id_field="key"))


def test_a_named_title_must_be_in_some_json_object(tmp_path):
    fields = Fields(title_field="head")
    assert len(read_text(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b", "head": "h"}', fields=fields)) == 2
    with pytest.raises(CorpusError, match=r'a\.jsonl: expected a field "head" \(title_field\), got no line with it'):
        read_text(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "b"}', fields=fields)
