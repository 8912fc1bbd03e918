"""The options that say how a corpus is read, through the command line."""

import json
from pathlib import Path

import pytest

from hpdsearch.cli.parameters import read_names


@pytest.fixture
def search(run, tiny_folder):
    """Return a function that indexes files and returns the metadata of every document by its text."""

    def call(*arguments, input=None):
        result = run("index", *arguments, "-o", "out", "--overwrite", "--encoder", tiny_folder, input=input)
        assert result.exit_code == 0, result.output
        answer = json.loads(run("query", "-i", "out", "-k", "10", "--json", "one two three").stdout)
        return {hit["passage"]: hit["metadata"] for hit in answer["hits"]}

    return call


def test_tables_are_typed_unless_no_types_is_given(search):
    Path("a.csv").write_text("text,n,ok,gap,code\none,5,TRUE,,007\n")
    assert search("a.csv") == {"one": {"n": 5, "ok": True, "gap": None, "code": "007"}}
    assert search("a.csv", "--no-types") == {"one": {"n": "5", "ok": "TRUE", "gap": "", "code": "007"}}


def test_typed_cells_are_found_by_filters(search, run):
    Path("a.csv").write_text("text,n,ok,gap\none,5,TRUE,\ntwo,7,False,x\nthree,1.50,true,\n")
    search("a.csv")
    for where, expected in {
        "ok = true": {"one", "three"},
        "ok = false": {"two"},
        "n < 6": {"one", "three"},
        "n = 1.5": {"three"},
        "gap is null": {"one", "three"},
        "gap is not null": {"two"},
    }.items():
        answer = json.loads(run("query", "-i", "out", "-k", "10", "--json", "--where", where, "one two three").stdout)
        assert {hit["passage"] for hit in answer["hits"]} == expected, where


def test_quoting_can_be_switched_on_and_off(search):
    Path("a.tsv").write_text('text\tn\n"one"\t5\n')
    Path("a.csv").write_text('text,n\n"two",5\n')
    assert list(search("a.tsv")) == ['"one"']
    assert list(search("a.tsv", "--quoting")) == ["one"]
    assert list(search("a.csv")) == ["two"]
    assert list(search("a.csv", "--no-quoting")) == ['"two"']


@pytest.mark.parametrize(("option", "character"), [(";", ";"), (r"\t", "\t"), ("\t", "\t"), ("|", "|")])
def test_the_delimiter_can_be_chosen(search, option, character):
    Path("a.csv").write_text(f"text{character}x\none{character}a,b\n")
    assert search("a.csv", "--delimiter", option) == {"one": {"x": "a,b"}}


def test_the_report_counts_cells_that_span_lines(run, tiny_folder):
    Path("a.csv").write_text('text\n"one\ntwo"\n"three\nfour"\n')
    result = run("index", "a.csv", "-o", "out", "--encoder", tiny_folder)
    assert "2 table cells that span lines" in result.stdout


def test_columns_are_chosen_by_lists_of_names(search):
    Path("a.jsonl").write_text('{"text": "one", "v": [0.5], "x,y": 1, "lang": "en", "m": {"v": 2}}\n')
    assert search("a.jsonl", "--columns", 'lang, "x,y"') == {"one": {"lang": "en", "x,y": 1}}
    assert search("a.jsonl", "--exclude-columns", "v,m.v") == {"one": {"lang": "en", "x,y": 1}}


@pytest.mark.parametrize(
    ("text", "names"),
    [("a", ("a",)), ("a,b", ("a", "b")), (" a , b", ("a ", "b")), ('"a,b",c', ("a,b", "c")), ("", ()), (",a,", ("a",))],
)
def test_a_list_of_names_is_split_at_commas(text, names):
    assert read_names(text) == tuple(name.strip() for name in names)


def test_nested_fields_are_read_by_dots(search):
    Path("a.json").write_text('[{"key": {"n": 7}, "body": {"text": "one", "head": "two", "x": 1}}]')
    options = ("--id-field", "key.n", "--text-field", "body.text", "--title-field", "body.head")
    assert search("a.json", *options) == {"one": {"body": {"x": 1}}}


@pytest.mark.parametrize("name", ["a.ndjson", "a.json", "a.jsonl"])
def test_the_folder_is_named_after_the_corpus(run, tiny_folder, name):
    Path(name).write_text('{"text": "one"}')
    assert run("index", name, "--encoder", tiny_folder).exit_code == 0
    assert Path("indexes/a/catalog.sqlite").is_file()


def test_standard_input_may_be_a_json_array(search):
    assert search("-", "--stdin-format", "json", input='[{"text": "one"},\n {"text": "two"}]') == {"one": {}, "two": {}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--delimiter", ";;"), "--delimiter: expected one character that is no quote, got ';;'"),
        (("--delimiter", ""), "--delimiter: expected one character"),
        (
            ("--columns", "a", "--exclude-columns", "b"),
            "--columns and --exclude-columns: expected one of them, got both",
        ),
        (("--exclude-columns", "text"), '--exclude-columns: expected fields without the text, got "text"'),
        (("--columns", "nope"), 'a.csv:1: expected a field "nope" (--columns), got the fields text, n'),
    ],
)
def test_wrong_options_are_refused(run, tiny_folder, options, message):
    Path("a.csv").write_text("text,n\none,1\n")
    result = run("index", "a.csv", *options, "-o", "out", "--encoder", tiny_folder)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert not Path("out").exists()
