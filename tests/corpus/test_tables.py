"""Rows of .csv and .tsv files: quotes, delimiters, headers and typed cells."""

import csv
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hpdsearch.corpus import Fields, ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.cells import type_cell
from hpdsearch.errors import CorpusError

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
CELLS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(str.strip)
PLAIN_CELLS = st.text(st.characters(exclude_characters="\0\t\n\r", codec="utf-8"), min_size=1).filter(str.strip)


def read_table(tmp_path, name, content, *, stats=None, **options):
    (tmp_path / name).write_bytes(content.encode())
    return list(read_corpus(tmp_path / name, ReadOptions(**options), stats=stats))


def read_metadata(tmp_path, name, content, **options):
    return [document.metadata for document in read_table(tmp_path, name, content, **options)]


# ---- quotes


@ONE_FOLDER
@given(records=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), tabs=st.booleans())
def test_quoted_rows_survive_a_round_trip(tmp_path, records, tabs):
    path = tmp_path / ("a.tsv" if tabs else "a.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if tabs else ",")
        writer.writerow(["text", "place"])
        writer.writerows(records)
    documents = read_corpus(path, ReadOptions(typed=False, quoting=True))
    assert [(d.text, d.metadata["place"]) for d in documents] == records


@ONE_FOLDER
@given(records=st.lists(st.tuples(PLAIN_CELLS, PLAIN_CELLS), min_size=1, max_size=5))
@example(records=[('"', '"'), ('"a', 'b"'), ('""', "'")])
def test_plain_tsv_takes_quotes_as_they_are(tmp_path, records):
    content = "text\tplace\n" + "".join(f"{text}\t{place}\n" for text, place in records)
    documents = read_table(tmp_path, "a.tsv", content, typed=False)
    assert [(d.text, d.metadata["place"]) for d in documents] == records


def test_a_tsv_cell_that_begins_with_a_quote_swallows_no_rows(tmp_path):
    content = 'id\ttext\n1\t"Hello, he said\n2\tplain\n3\tends with a quote"\n4\t"quoted"\n'
    documents = read_table(tmp_path, "a.tsv", content)
    assert [d.text for d in documents] == ['"Hello, he said', "plain", 'ends with a quote"', '"quoted"']


@pytest.mark.parametrize(
    ("name", "quoting", "text"),
    [
        ("a.csv", None, "a"),
        ("a.csv", True, "a"),
        ("a.csv", False, '"a"'),
        ("a.tsv", None, '"a"'),
        ("a.tsv", True, "a"),
        ("a.tsv", False, '"a"'),
    ],
)
def test_quoting_can_be_chosen_for_both_formats(tmp_path, name, quoting, text):
    (document,) = read_table(tmp_path, name, 'text\n"a"\n', quoting=quoting)
    assert document.text == text


def test_a_quote_inside_an_unquoted_cell_is_a_character(tmp_path):
    (document,) = read_table(tmp_path, "a.csv", 'text,size\na 5" pipe,"2"" wide"\n')
    assert (document.text, document.metadata) == ('a 5" pipe', {"size": '2" wide'})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_cells_that_span_lines_are_counted(tmp_path, end):
    stats = ReadStats()
    content = f'text,x\n"one{end}two","a{end}b{end}c"\nplain,"quoted"\n'
    first, _ = read_table(tmp_path, "a.csv", content, stats=stats)
    assert (first.text, first.metadata["x"]) == (f"one{end}two", f"a{end}b{end}c")
    assert stats.n_multiline_cells == 2


def test_rows_after_a_cell_that_spans_lines_are_named_by_their_first_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text('text\n"one\ntwo"\nthree\n')
    assert [d.doc_id for d in read_corpus("a.csv")] == ["a.csv:2", "a.csv:4"]


def test_a_huge_cell_is_read(tmp_path):
    cell = 'words, "quoted", ' * 100_000
    quoted = cell.replace('"', '""')
    (document,) = read_table(tmp_path, "a.csv", f'text\n"{quoted}"\n')
    assert document.text == cell


# ---- delimiters and headers


@pytest.mark.parametrize("delimiter", list(";|:\t ~\u00a7"))
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_delimiter_can_be_chosen(tmp_path, name, delimiter):
    content = delimiter.join(["id", "text", "x"]) + "\n" + delimiter.join(["1", "a,b", "c"]) + "\n"
    (document,) = read_table(tmp_path, name, content, delimiter=delimiter)
    assert (document.doc_id, document.text, document.metadata) == ("1", "a,b", {"x": "c"})


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "\0"])
def test_a_delimiter_that_cannot_be_one_is_refused(delimiter):
    with pytest.raises(CorpusError, match="--delimiter: expected one character"):
        ReadOptions(delimiter=delimiter)


@pytest.mark.parametrize(
    ("name", "header", "option"),
    [
        ("a.csv", "id;text", "';'"),
        ("a.csv", '"id";"text"', "';'"),
        ("a.csv", "id\ttext", r"'\t'"),
        ("a.csv", "id|text", "'|'"),
        ("a.tsv", "id,text", "','"),
    ],
)
def test_the_error_of_a_header_with_another_delimiter_suggests_it(tmp_path, name, header, option):
    with pytest.raises(CorpusError) as error:
        read_table(tmp_path, name, f"{header}\n1,a\n", quoting=False)
    assert str(error.value).endswith(f"; the delimiter seems to be another one, use --delimiter {option}")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_byte_order_mark_before_a_quoted_header_is_dropped(tmp_path, name):
    (document,) = read_table(tmp_path, name, '\ufeff"text"\na\n', quoting=True)
    assert document.text == "a"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_blank_lines_may_stand_before_the_header(tmp_path, name):
    (document,) = read_table(tmp_path, name, "\n\r\n\ntext\na\n")
    assert document.text == "a"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_columns_without_a_name_are_named_by_their_position(tmp_path, name):
    content = ",text, ,lang\n0,a,b,en\n".replace(",", "\t" if name.endswith("tsv") else ",")
    (document,) = read_table(tmp_path, name, content)
    assert document.metadata == {"column_1": 0, "column_3": "b", "lang": "en"}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_header_alone_holds_no_documents(tmp_path, name):
    with pytest.raises(CorpusError, match="expected documents, got none"):
        read_table(tmp_path, name, "text\n")


ERRORS = [
    ("id,body\n", Fields(), '1: expected a column "text" (text_field), got the fields id, body'),
    ("id,text\n", Fields(id_field="key"), '1: expected a column "key" (id_field), got the fields id, text'),
    ("id,text\n", Fields(title_field="head"), '1: expected a column "head" (title_field), got the fields id, text'),
    ("id,text,id\n", Fields(), '1: expected different column names, got "id" twice'),
    ("id,_id,text\n", Fields(), '1: expected "id" or "_id", got both'),
    ("Report 2024\n\nid,text\n", Fields(), '1: expected a column "text" (text_field), got the fields Report 2024'),
    ("id,text\n1,a,b\n", Fields(), "2: expected 2 cells as in the header, got 3"),
    ("id,text\n1,a\n2\n", Fields(), "3: expected 2 cells as in the header, got 1"),
    ("id,text\n ,a\n", Fields(), "2: expected an \"id\" with characters in it, got ' '"),
    ("id,text\r1,a\r2,b", Fields(), r"1: expected lines that end in \n or \r\n, got \r alone; convert the file"),
]  # fmt: skip
QUOTED_ERRORS = [
    ('id,text\n1,"a\nb"\n2\n', Fields(), "4: expected 2 cells as in the header, got 1; quote a cell"),
    ('id,text\n1,a\n2,"b\nc\n', Fields(), "3: expected cells that are quoted as in RFC 4180, got unexpected end of"),
    ('id,text\n1,"a" b\n', Fields(), "2: expected cells that are quoted as in RFC 4180, got"),
    ("id,text\n1,a\rb\n", Fields(), r"2: expected lines that end in \n or \r\n, got \r alone; convert the file"),
]


@pytest.mark.parametrize("quoting", [False, True])
@pytest.mark.parametrize(("content", "fields", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_table_is_refused(tmp_path, monkeypatch, content, fields, message, quoting):
    monkeypatch.chdir(tmp_path)
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with pytest.raises(CorpusError) as error:
            read_table(tmp_path, name, content.replace(",", delimiter), fields=fields, quoting=quoting)
        assert str(error.value).removeprefix(f"{tmp_path}/").startswith(f"{name}:{message}")


@pytest.mark.parametrize(("content", "fields", "message"), QUOTED_ERRORS, ids=[m for _, _, m in QUOTED_ERRORS])
def test_a_table_with_wrong_quoting_is_refused(tmp_path, content, fields, message):
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with pytest.raises(CorpusError) as error:
            read_table(tmp_path, name, content.replace(",", delimiter), fields=fields, quoting=True)
        assert str(error.value).removeprefix(f"{tmp_path}/").startswith(f"{name}:{message}")


# ---- typed cells


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0), ("7", 7), ("-7", -7), ("9007199254740992", 2**53), ("0.5", 0.5), ("-1.25", -1.25), ("5.0", 5.0),
        ("1e+16", 1e16), ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False),
        ("FALSE", False), ("", None), ("  ", None), ("\u3000", None),
    ],
)  # fmt: skip
def test_numbers_booleans_and_blanks_are_typed(cell, value):
    assert type_cell(cell) == value
    assert type(type_cell(cell)) is type(value)


@pytest.mark.parametrize(
    "cell",
    [
        "007", "00", "-0", "+1", "1.", ".5", "1.10", "1.50", "1e5", "1E5", "1e999", "0x10", "1_000", "1,000", " 5 ",
        "5\n", "nan", "NaN", "inf", "-inf", "Infinity", "9007199254740993", "-9007199254740993", "1" * 5000,
        "0.1000000000000000055511151231257827", "\u0661\u0662", "\u00b2", "1/2", "50%", "$5", "-", "--1", "1-2",
        "2024-05-06", "2024-05-06T07:08:00Z", "12:30", "tRUE", "yes", "no", "t", "null", "None", "NA", "N/A", "#N/A",
    ],
)  # fmt: skip
def test_other_cells_stay_strings(cell):
    assert type_cell(cell) == cell
    assert type(type_cell(cell)) is str


@given(st.text() | st.from_regex(r"[-+]?[0-9._]{1,20}([eE][-+]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_is_written_as_its_cell_is(cell):
    value = type_cell(cell)
    if type(value) in (int, float):
        assert json.dumps(value) == cell
        assert json.loads(cell) == value
        assert float(value) == value


@given(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_python_writes_are_typed(number):
    assert type_cell(repr(number)) == number


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_ids_titles_and_texts_are_never_typed(tmp_path, name):
    content = "id,text,title,n\n1,2,True,3\n4,5,,\n".replace(",", "\t" if name.endswith("tsv") else ",")
    first, second = read_table(tmp_path, name, content)
    assert (first.doc_id, first.text, first.title, first.metadata) == ("1", "2", "True", {"n": 3})
    assert (second.doc_id, second.text, second.title, second.metadata) == ("4", "5", "", {"n": None})


def test_named_ids_titles_and_texts_are_never_typed(tmp_path):
    fields = Fields("key", "body", "head")
    (document,) = read_table(tmp_path, "a.csv", "key,body,head,id,text\n1,2,3,4,5\n", fields=fields)
    assert (document.doc_id, document.text, document.title) == ("1", "2", "3")
    assert document.metadata == {"id": 4, "text": 5}


def test_no_types_keeps_strings(tmp_path):
    assert read_metadata(tmp_path, "a.csv", "text,n,b,x\na,1,true,\n", typed=False) == [
        {"n": "1", "b": "true", "x": ""}
    ]


# ---- columns


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize(
    ("options", "metadata"),
    [
        ({"columns": ("lang",)}, {"lang": "en"}),
        ({"columns": ("lang", "id")}, {"lang": "en"}),
        ({"exclude_columns": ("v", "a.b")}, {"lang": "en"}),
        ({"exclude_columns": ("title", "lang", "v")}, {"a.b": 5}),
    ],
)
def test_only_the_chosen_columns_become_metadata(tmp_path, name, options, metadata):
    content = "id,text,title,lang,v,a.b\n1,t,T,en,0.5 0.5,5\n".replace(",", "\t" if name.endswith("tsv") else ",")
    (document,) = read_table(tmp_path, name, content, **options)
    assert (document.doc_id, document.text, document.metadata) == ("1", "t", metadata)
    assert document.title == ("" if "title" in options.get("exclude_columns", ()) else "T")


def test_a_column_name_that_occurs_twice_can_be_excluded(tmp_path):
    assert read_metadata(tmp_path, "a.csv", "text,x,x,y\na,1,2,3\n", exclude_columns=("x",)) == [{"y": 3}]


@pytest.mark.parametrize("option", ["columns", "exclude_columns"])
def test_a_column_that_a_table_lacks_is_refused_at_its_header(tmp_path, option):
    flag = "--" + option.replace("_", "-")
    with pytest.raises(CorpusError, match=rf'a\.csv:1: expected a field "nope" \({flag}\), got the fields text, x'):
        read_table(tmp_path, "a.csv", "text,x\na,1\n", **{option: ("nope",)})


@pytest.mark.parametrize(("name", "tab"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_the_error_of_a_quoted_header_that_is_read_without_quotes_suggests_quoting(tmp_path, name, tab):
    quoting = None if name == "a.tsv" else False
    with pytest.raises(CorpusError, match=r"; if quotes enclose the cells, use --quoting$"):
        read_table(tmp_path, name, f'"id"{tab}"text"\n"1"{tab}"a"\n', quoting=quoting)
    (document,) = read_table(tmp_path, name, f'"id"{tab}"text"\n"1"{tab}"a"\n', quoting=True)
    assert document.text == "a"
