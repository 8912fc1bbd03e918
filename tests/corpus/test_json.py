"""Objects of .jsonl, .ndjson and .json files."""

import gzip
import io
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpdsearch.corpus import Fields, LineFormat, ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.json_stream import TextBuffer, read_objects
from hpdsearch.corpus.lines import BUFFER_BYTES, SourceLocation, read_text_pieces
from hpdsearch.errors import CorpusError

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=5)


def read_file(tmp_path, name, content, *, stats=None, **options):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_corpus(tmp_path / name, ReadOptions(**options), stats=stats))


def parse(text, n_characters):
    """Parse the objects of a text that comes in pieces of n_characters."""
    pieces = (text[i : i + n_characters] for i in range(0, len(text), n_characters))
    return [record for *_, record in read_objects(TextBuffer(pieces), SourceLocation("a.json"))]


# ---- .json


@ONE_FOLDER
@given(OBJECTS, st.integers(1, 9), st.sampled_from([None, 0, 3]), st.booleans())
def test_an_array_is_read_as_json_reads_it_wherever_its_pieces_end(objects, n_characters, indent, ascii_only):
    text = json.dumps(objects, indent=indent, ensure_ascii=ascii_only)
    assert parse(text, n_characters) == objects


@ONE_FOLDER
@given(OBJECTS, st.integers(1, 9), st.sampled_from(["", " ", "\n", "\r\n\r\n"]))
def test_objects_may_follow_each_other_without_an_array(objects, n_characters, separator):
    text = separator.join(json.dumps(item, indent=1) for item in objects)
    assert parse(text, n_characters) == objects


@ONE_FOLDER
@given(OBJECTS.filter(bool), st.integers(0, 10**6), st.integers(1, 9))
def test_an_array_that_is_cut_is_refused(objects, cut, n_characters):
    text = json.dumps(objects)
    with pytest.raises(CorpusError):
        parse(text[: 1 + cut % (len(text) - 1)], n_characters)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.ndjson", "a.ndjson.gz", "a.jsonl", "a.jsonl.gz", "A.JSON"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_objects_are_read_from_each_ending_plain_and_compressed(tmp_path, monkeypatch, name, mark):
    monkeypatch.chdir(tmp_path)
    objects = [{"text": "one", "n": 1}, {"text": "two", "title": "T"}]
    array = name.lower().startswith("a.json") and not name.startswith("a.jsonl")
    content = json.dumps(objects) if array else "\n".join(map(json.dumps, objects))
    raw = (mark + content).encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    documents = list(read_corpus(name))
    assert [(d.doc_id, d.text, d.title, d.metadata) for d in documents] == [
        (f"{name}:1", "one", "", {"n": 1}),
        (f"{name}:2", "two", "T", {}),
    ]


@pytest.mark.parametrize("content", ['[{"text": "a"}]', '{"text": "a"}', '{"text":\n"a"\n}\n'])
def test_standard_input_may_hold_json(content):
    options = ReadOptions(stdin_format=LineFormat.JSON)
    (document,) = read_corpus("-", options, stdin=io.BytesIO(content.encode()))
    assert (document.doc_id, document.text) == ("stdin:1", "a")


def test_an_array_in_one_line_is_not_held_in_memory():
    endless = itertools.chain(["["], itertools.repeat('{"text": "a"},' * 100))
    buffer = TextBuffer(endless)
    for _ in itertools.islice(read_objects(buffer, SourceLocation("a.json")), 10_000):
        assert len(buffer.text) < 10_000


def test_an_object_longer_than_many_pieces_is_read(tmp_path):
    text = "words " * (BUFFER_BYTES // 2)
    first, second = read_file(tmp_path, "a.json", json.dumps([{"text": text}, {"text": "b"}]))
    assert (first.text, second.text) == (text, "b")


@pytest.mark.parametrize("character", ["\u00e9", "\u2028", "\U0001f600"])
@pytest.mark.parametrize("shift", range(4))
def test_pieces_of_text_do_not_cut_characters(character, shift):
    text = "x" * shift + character * (2 * BUFFER_BYTES)
    pieces = list(read_text_pieces(io.BytesIO(text.encode()), SourceLocation("a.json")))
    assert len(pieces) > 1
    assert "".join(pieces) == text


@pytest.mark.parametrize("content", ["[]", " [ ] ", "", "\n"])
def test_json_without_objects_holds_no_documents(tmp_path, content):
    with pytest.raises(CorpusError, match="expected documents, got none"):
        read_file(tmp_path, "a.json", content)


JSON_ERRORS = [
    ('[{"text": "a"},\n\n{"text": 5}]', 'record 2 (line 3): expected a "text" string, got the number 5'),
    ('[{"text": "a"},\n{"body": 5}]', 'record 2 (line 2): expected a "text" string, got the fields body'),
    ('[{"text": "a"},\n{"text": "b"\n"x": 1}]', "record 2 (line 2): expected a JSON object, got an error in line 3"),
    ('[{"text": "a"}, 5]', "record 2 (line 1): expected a JSON object, got '5]'"),
    ('["a"]', "record 1 (line 1): expected a JSON object, got '\"a\"]'"),
    ("5", "record 1 (line 1): expected a JSON object, got '5'"),
    ('[{"text": "a"}', "expected ,"),
    ('[{"text": "a"},', "record 2 (line 1): expected a JSON object, got the end of the file"),
    ('[{"text": "a"},]', "record 2 (line 1): expected a JSON object, got ']'"),
    ('[{"text": "a"} {"text": "b"}]', "expected ,, got "),
    ('[{"text": "a"}]\n[{"text": "b"}]', "expected the end of the file, got "),
    ('{"text": "a"}, {"text": "b"}', "record 2 (line 1): expected a JSON object, got ', {"),
    ('[{"text": "a", "x": NaN}]', "record 1 (line 1): expected a finite number, got NaN"),
    ('[{"text": "a", "x": 1e999}]', "record 1 (line 1): expected a finite number, got 1e999"),
    ('[{"text": "a", "text": "b"}]', 'record 1 (line 1): expected different names, got "text" twice'),
    (r'[{"text": "a \ud800"}]', "record 1 (line 1): expected Unicode text, got half of a surrogate pair"),
    ('[{"text": "a", "x": ' + "[" * 100_000, "record 1 (line 1): expected a JSON object, got one that is nested"),
    ('[{"text": "a\n"}]', "record 1 (line 1): expected a JSON object, got an error in line"),
    (b'[{"text": "a"},\n{"text": "\xff"}]', "expected UTF-8, got the byte 0xff at offset 26 of the file"),
    (b'[{"text": "\xe2\x82', "expected UTF-8, got the byte 0xe2 at offset 11 of the file"),
    ('[{"text": "a"}]'.encode("utf-16-le"), "expected text, got a NUL byte at offset 1; leave out binary files, or"),
    (b'[{"text": "a\0"}]', "expected text, got a NUL byte at offset 12"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), JSON_ERRORS, ids=[message for _, message in JSON_ERRORS])
def test_wrong_json_is_refused(tmp_path, content, message):
    with pytest.raises(CorpusError, match=r"^.*a\.json:") as error:
        read_file(tmp_path, "a.json", content)
    assert message in str(error.value)


def test_a_wrong_object_is_refused_without_reading_the_rest():
    endless = itertools.chain(['[{"text" "a"},'], itertools.repeat('{"text": "a"},'))
    with pytest.raises(CorpusError, match="got an error in line 1"):
        next(read_objects(TextBuffer(endless), SourceLocation("a.json")))


# ---- nested fields


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    ("record", "text", "metadata"),
    [
        ({"body": {"text": "t"}}, "t", {}),
        ({"body": {"text": "t", "lang": "en"}, "n": 1}, "t", {"body": {"lang": "en"}, "n": 1}),
        ({"body.text": "literal", "body": {"text": "t"}}, "literal", {"body": {"text": "t"}}),
        ({"body": 5, "body.text": "literal"}, "literal", {"body": 5}),
    ],
)
def test_a_text_field_may_be_nested(tmp_path, name, record, text, metadata):
    (document,) = read_file(tmp_path, name, json.dumps(record), fields=Fields(text_field="body.text"))
    assert (document.text, document.metadata) == (text, metadata)


@pytest.mark.parametrize(
    "record",
    [{"a": {"b": {"c": "t"}}}, {"a.b": {"c": "t"}}, {"a": {"b.c": "t"}}, {"a.b.c": "t"}, {"a": 1, "a.b": {"c": "t"}}],
)
def test_dots_may_be_part_of_names(tmp_path, record):
    (document,) = read_file(tmp_path, "a.jsonl", json.dumps(record), fields=Fields(text_field="a.b.c"))
    assert document.text == "t"


def test_ids_and_titles_may_be_nested(tmp_path):
    record = {"meta": {"key": 7, "head": "H", "x": 1}, "text": "t"}
    (document,) = read_file(tmp_path, "a.jsonl", json.dumps(record), fields=Fields("meta.key", "text", "meta.head"))
    assert (document.doc_id, document.title, document.metadata) == ("7", "H", {"meta": {"x": 1}})


@pytest.mark.parametrize(
    "record", [{"body": "t"}, {"body": {"x": "t"}}, {"body": ["t"]}, {"body": [{"text": "t"}]}, {}]
)
def test_a_record_without_the_nested_text_is_refused(tmp_path, record):
    with pytest.raises(
        CorpusError, match=r'a\.jsonl:1: expected a "body\.text" string, got (the fields body|no fields)'
    ):
        read_file(tmp_path, "a.jsonl", json.dumps(record), fields=Fields(text_field="body.text"))


# ---- columns

RECORD = {"id": 1, "text": "t", "title": "T", "lang": "en", "v": [0.5], "m": {"v": [1], "x": 2}, "m.x": 3}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    ("options", "metadata"),
    [
        ({"columns": ("lang",)}, {"lang": "en"}),
        ({"columns": ("id",)}, {}),
        ({"columns": ("m",)}, {"m": {"v": [1], "x": 2}}),
        ({"columns": ("m.v", "lang")}, {"m": {"v": [1]}, "lang": "en"}),
        ({"columns": ("m.x",)}, {"m.x": 3}),
        ({"exclude_columns": ("v", "m.v")}, {"lang": "en", "m": {"x": 2}, "m.x": 3}),
        ({"exclude_columns": ("v", "m", "m.x")}, {"lang": "en"}),
    ],
)
def test_only_the_chosen_fields_become_metadata(tmp_path, name, options, metadata):
    (document,) = read_file(tmp_path, name, json.dumps(RECORD), **options)
    assert (document.doc_id, document.text, document.title, document.metadata) == ("1", "t", "T", metadata)


def test_nested_id_text_and_title_are_read_beside_the_chosen_fields(tmp_path):
    record = {"a": {"id": 1, "text": "t", "head": "h", "y": 1, "z": 2}}
    fields = Fields("a.id", "a.text", "a.head")
    (document,) = read_file(tmp_path, "a.jsonl", json.dumps(record), fields=fields, columns=("a.z",))
    assert (document.doc_id, document.text, document.title) == ("1", "t", "h")
    assert document.metadata == {"a": {"z": 2}}


def test_an_excluded_id_or_title_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (document,) = read_file(tmp_path, "a.jsonl", json.dumps(RECORD), exclude_columns=("id", "title"))
    assert (document.doc_id.rpartition("/")[2], document.title) == ("a.jsonl:1", "")


def test_a_column_may_be_missing_in_some_records_and_files(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "v": 1}\n')
    (tmp_path / "b.json").write_text('{"text": "c"}')
    documents = read_corpus([tmp_path / "a.jsonl", tmp_path / "b.json"], ReadOptions(exclude_columns=("v",)))
    assert [document.metadata for document in documents] == [{}, {}, {}]


@pytest.mark.parametrize("option", ["columns", "exclude_columns"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_column_that_no_record_has_is_refused(tmp_path, name, option):
    with pytest.raises(CorpusError, match=r'expected a field "lagn" \(.*columns\), got no record with it'):
        read_file(tmp_path, name, '{"text": "a", "lang": "en"}', **{option: ("lagn",)})


def test_columns_and_excluded_columns_together_are_refused():
    with pytest.raises(CorpusError, match="expected one of them, got both"):
        ReadOptions(columns=("a",), exclude_columns=("b",))


def test_excluding_the_text_is_refused():
    with pytest.raises(CorpusError, match='--exclude-columns: expected fields without the text, got "body"'):
        ReadOptions(Fields(text_field="body"), exclude_columns=("x", "body"))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_named_title_must_be_in_some_object(tmp_path, name):
    fields = Fields(title_field="m.head")
    content = '{"text": "a"}\n{"text": "b", "m": {"head": "h"}}'
    assert [d.title for d in read_file(tmp_path, name, content, fields=fields)] == ["", "h"]
    with pytest.raises(CorpusError, match=r'expected a field "m\.head" \(title_field\), got no'):
        read_file(tmp_path, name, '{"text": "a"}', fields=fields)


def test_empty_objects_of_an_array_are_counted(tmp_path):
    stats = ReadStats()
    documents = read_file(tmp_path, "a.json", '[{"text": ""}, {"text": "b"}]', stats=stats)
    assert [d.doc_id.rpartition(":")[2] for d in documents] == ["2"]
    assert stats.n_empty == 1


# ---- objects that hold the list of the records

WRAPPED = '{"total": 2, "data": [{"id": "x", "text": "one"}, {"text": "two", "tags": ["a"]}], "next": null, "none": []}'


def test_the_one_list_of_objects_of_an_object_holds_the_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents = read_file(Path(), "a.json", WRAPPED)
    assert [(d.doc_id, d.text, d.metadata) for d in documents] == [
        ("x", "one", {}),
        ("a.json:2", "two", {"tags": ["a"]}),
    ]


def test_objects_with_lists_and_records_may_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = '{"text": "zero"}' + '{"data": [{"text": "one"}, {"text": "two"}]}' + '{"text": "three"}'
    documents = read_file(Path(), "a.json", content)
    assert [(d.doc_id, d.text) for d in documents] == [
        ("a.json:1", "zero"),
        ("a.json:2", "one"),
        ("a.json:3", "two"),
        ("a.json:4", "three"),
    ]


def test_an_object_with_a_text_is_a_record_although_it_has_a_list_of_objects(tmp_path):
    (document,) = read_file(tmp_path, "a.json", '{"replies": [{"text": "r"}], "text": "a"}')
    assert (document.text, document.metadata) == ("a", {"replies": [{"text": "r"}]})
    fields = Fields(text_field="body.text")
    (document,) = read_file(tmp_path, "a.json", '{"replies": [{"text": "r"}], "body": {"text": "a"}}', fields=fields)
    assert document.text == "a"


@pytest.mark.parametrize(
    "content",
    [
        '{"a": [{"text": "x"}], "b": [{"text": "y"}]}',  # two lists
        '{"data": [{"text": "x"}, 5]}',
        '{"data": ["x"]}',
        '{"data": []}',
        '{"response": {"docs": [{"text": "x"}]}}',
        '[{"data": [{"text": "x"}]}]',
    ],
)
def test_other_objects_without_a_text_are_refused(tmp_path, content):
    with pytest.raises(CorpusError, match=r'record 1 \(line 1\): expected a "text" string, got the fields'):
        read_file(tmp_path, "a.json", content)


def test_an_error_in_such_a_list_names_the_record_and_the_list(tmp_path):
    with pytest.raises(
        CorpusError, match=r'a\.json: record 2 \(in "data"\): expected a "text" string, got the fields x'
    ):
        read_file(tmp_path, "a.json", '{"data": [{"text": "x"}, {"x": 1}]}')


@pytest.mark.parametrize(
    "content", ['[{"text": "a"}]', '[\n{"text": "a"}\n]', '{\n "text": "a"\n}', '[{"text": "a"},\n{"text": "b"}]']
)
def test_the_error_of_an_array_named_jsonl_says_how_to_read_it(tmp_path, content):
    advice = r"if the file holds a JSON array or objects of several lines, name it \.json$"
    with pytest.raises(CorpusError, match=rf"a\.jsonl:1: expected a JSON object, got .*; {advice}"):
        read_file(tmp_path, "a.jsonl", content)
    with pytest.raises(CorpusError) as error:
        read_file(tmp_path, "a.jsonl", '{"text": 5}')
    assert "name it .json" not in str(error.value)


@pytest.mark.parametrize(("option", "name"), [("columns", "--columns"), ("exclude_columns", "--exclude-columns")])
def test_the_error_of_a_field_that_no_record_has_names_its_option(tmp_path, option, name):
    with pytest.raises(CorpusError, match=rf'expected a field "nowhere" \({name}\), got no record with it'):
        read_file(tmp_path, "a.json", '{"text": "a"}', **{option: ("nowhere",)})


@pytest.mark.parametrize("fields", [Fields(id_field="x"), Fields(title_field="x")])
def test_an_id_or_title_that_is_named_and_excluded_is_refused(fields):
    with pytest.raises(
        CorpusError, match=r'--exclude-columns and --(id|title)-field: expected different fields, got "x"'
    ):
        ReadOptions(fields, exclude_columns=("x",))
