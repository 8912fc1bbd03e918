"""Rows of .parquet files."""

import datetime
import json
import os
import random
import subprocess
import sys
import uuid
import zoneinfo
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hpdsearch.corpus import Fields, OnError, ReadOptions, ReadStats, read_corpus
from hpdsearch.corpus.arrow_values import to_json_values
from hpdsearch.errors import CorpusError, MissingExtraError

FILLED = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(str.strip)
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
MANY = settings(deadline=None, max_examples=100)
BERLIN = "Europe/Berlin"


def write_parquet(tmp_path, columns, **options):
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", **{"row_group_size": 7, **options})
    return tmp_path / "a.parquet"


def read_value(tmp_path, array):
    """Return the JSON value of a column of one row, through a file."""
    path = write_parquet(tmp_path, {"text": ["t"], "x": array})
    (document,) = read_corpus(path)
    json.dumps(document.metadata, allow_nan=False)
    return document.metadata["x"]


@ONE_FOLDER
@given(records=st.lists(st.tuples(FILLED, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20))
def test_parquet_records_survive_a_round_trip(tmp_path, records):
    text, number = (list(column) for column in zip(*records, strict=True))
    path = write_parquet(tmp_path, {"_id": list(range(len(records))), "text": text, "number": number})
    stats = ReadStats()
    documents = list(read_corpus(path, stats=stats))
    assert [(d.text, d.metadata["number"]) for d in documents] == records
    assert [d.doc_id for d in documents] == [str(i) for i in range(len(records))]
    assert stats.bytes_read == stats.bytes_total == path.stat().st_size


# ---- values

DAY = datetime.date(2024, 5, 6)
MOMENT = datetime.datetime(2024, 5, 6, 7, 8)
ID = uuid.UUID(int=7)


def cast(number, kind):
    """Return an array of one number that stands for a moment of the type."""
    return pa.array([number], pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)


VALUES = {
    "dictionary": (pa.array(["t"]).dictionary_encode(), "t"),
    "large_string": (pa.array(["t"], pa.large_string()), "t"),
    "string_view": (pa.array(["t"], pa.string_view()), "t"),
    "boolean": (pa.array([True]), True),
    "null column": (pa.nulls(1), None),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "float16": (pa.array([np.float16(1.5)], pa.float16()), 1.5),
    "float32": (pa.array([0.5], pa.float32()), 0.5),
    "missing float": (pa.array([None], pa.float64()), None),
    "NaN": (pa.array([float("nan")]), None),
    "decimal": (pa.array([Decimal("1.5")]), 1.5),
    "decimal with trailing zeros": (pa.array([Decimal("1.50")], pa.decimal128(9, 4)), 1.5),
    "decimal without places": (pa.array([Decimal(10**30 + 1)], pa.decimal128(38, 0)), 10**30 + 1),
    "decimal that no float equals": (pa.array([Decimal("0.1234567890123456789")]), "0.1234567890123456789"),
    "decimal256": (pa.array([Decimal("12345678901234567890.5")], pa.decimal256(50, 1)), "12345678901234567890.5"),
    "date32": (pa.array([DAY]), "2024-05-06"),
    "date64": (pa.array([DAY], pa.date64()), "2024-05-06"),
    "timestamp of seconds": (pa.array([MOMENT], pa.timestamp("s")), "2024-05-06T07:08:00"),
    "timestamp of milliseconds": (cast(1500, pa.timestamp("ms")), "1970-01-01T00:00:01.500000"),
    "timestamp of microseconds": (cast(-1, pa.timestamp("us")), "1969-12-31T23:59:59.999999"),
    "timestamp of nanoseconds": (cast(1, pa.timestamp("ns")), "1970-01-01T00:00:00.000000001"),
    "timestamp of whole seconds": (cast(10**9, pa.timestamp("ns")), "1970-01-01T00:00:01"),
    "first nanosecond": (cast(-(2**63) + 1, pa.timestamp("ns")), "1677-09-21T00:12:43.145224193"),
    "zone": (cast(1, pa.timestamp("ns", BERLIN)), "1970-01-01T01:00:00.000000001+01:00"),
    "offset": (cast(0, pa.timestamp("s", "+05:30")), "1970-01-01T05:30:00+05:30"),
    "UTC": (cast(0, pa.timestamp("ms", "UTC")), "1970-01-01T00:00:00+00:00"),
    "unknown zone": (cast(0, pa.timestamp("us", "Nowhere/Land")), "1970-01-01T00:00:00+00:00"),
    "timestamp in year 10000": (cast(253402300800, pa.timestamp("s")), "+10000-01-01T00:00:00"),
    "zone in year 10000": (cast(253402300800_000, pa.timestamp("ms", BERLIN)), "+10000-01-01T00:00:00+00:00"),
    "last hour of year 9999": (cast(253402300799_000, pa.timestamp("ms", BERLIN)), "+9999-12-31T23:59:59+00:00"[1:]),
    "timestamp in year 0": (cast(-62135596801, pa.timestamp("s")), "0000-12-31T23:59:59"),
    "timestamp before year 0": (cast(-62198755200, pa.timestamp("s")), "-0001-01-01T00:00:00"),
    "latest microsecond": (cast(2**63 - 1, pa.timestamp("us")), "+294247-01-10T04:00:54.775807"),
    "date in year 10000": (cast(2932897, pa.date32()), "+10000-01-01"),
    "date before year 1": (cast(-719163, pa.date32()), "0000-12-31"),
    "time of milliseconds": (cast(1, pa.time32("ms")), "00:00:00.001000"),
    "time of nanoseconds": (cast(86399999999999, pa.time64("ns")), "23:59:59.999999999"),
    "whole duration": (cast(3_600_000, pa.duration("ms")), 3600),
    "duration": (cast(1_500_000_000, pa.duration("ns")), 1.5),
    "negative duration": (cast(-1500, pa.duration("ms")), -1.5),
    "list": (pa.array([["a", None]]), ["a", None]),
    "empty list": (pa.array([[]], pa.list_(pa.int8())), []),
    "missing list": (pa.array([None], pa.list_(pa.int8())), None),
    "large list of moments": (
        pa.array([[1, None]], pa.large_list(pa.int64())).cast(pa.large_list(pa.timestamp("ns"))),
        ["1970-01-01T00:00:00.000000001", None],
    ),
    "embedding": (pa.array([[0.5, 1.0]], pa.list_(pa.float32(), 2)), [0.5, 1.0]),
    "struct": (pa.array([{"x": 1.0, "y": [True]}]), {"x": 1.0, "y": [True]}),
    "missing struct": (pa.array([None], pa.struct([("x", pa.int8())])), None),
    "map": (pa.array([[("a", 1), ("b", None)]], pa.map_(pa.string(), pa.int8())), {"a": 1, "b": None}),
    "map of integers": (pa.array([[(7, [DAY])]], pa.map_(pa.int8(), pa.list_(pa.date32()))), {"7": ["2024-05-06"]}),
    "missing map": (pa.array([None], pa.map_(pa.string(), pa.int8())), None),
    "uuid": (pa.array([ID.bytes], pa.uuid()), str(ID)),
}  # fmt: skip


@pytest.mark.parametrize(("array", "value"), VALUES.values(), ids=VALUES)
def test_parquet_values_become_json_values(tmp_path, array, value):
    found = read_value(tmp_path, array)
    assert found == value
    assert type(found) is type(value)


@MANY
@given(st.datetimes(), st.sampled_from([None, "UTC", BERLIN, "Asia/Kathmandu", "America/New_York", "-03:30"]))
def test_timestamps_are_written_as_python_writes_them(moment, zone):
    array = pa.array([moment], pa.timestamp("us", zone))
    (value,) = array.to_pylist() if zone is None else [None]
    if zone is not None:
        utc = moment.replace(tzinfo=datetime.timezone.utc)
        hours = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
        try:
            value = utc.astimezone(hours if zone == "-03:30" else zoneinfo.ZoneInfo(zone))
        except OverflowError:
            value = utc
    assert to_json_values(array) == [value.isoformat()]


@MANY
@given(st.integers(-(2**62), 2**62), st.sampled_from(["s", "ms", "us", "ns"]))
@example(0, "ns")
def test_timestamps_of_every_year_are_those_of_numpy(number, unit):
    (text,) = to_json_values(cast(number, pa.timestamp(unit)))
    assert np.datetime64(text.removeprefix("+"), unit) == np.datetime64(number, unit)


NESTED = st.recursive(
    st.sampled_from([pa.int64(), pa.string(), pa.bool_(), pa.null()]),
    lambda kinds: (
        st.builds(pa.list_, kinds)
        | st.builds(pa.large_list, kinds)
        | st.builds(lambda kind: pa.map_(pa.string(), kind), kinds)
        | st.builds(
            lambda kinds: pa.struct([(f"f{i}", kind) for i, kind in enumerate(kinds)]), st.lists(kinds, max_size=3)
        )
    ),
    max_leaves=5,
)


def draw_value(kind, generator):
    """Return a random value of a type: (as pyarrow takes it, as JSON)."""
    if pa.types.is_null(kind) or generator.random() < 0.2:
        return None, None
    if pa.types.is_map(kind):
        pairs = {f"k{i}": draw_value(kind.item_type, generator) for i in range(generator.randrange(3))}
        return [(key, given) for key, (given, _) in pairs.items()], {key: json for key, (_, json) in pairs.items()}
    if pa.types.is_struct(kind):
        pairs = {field.name: draw_value(field.type, generator) for field in kind}
        return {key: given for key, (given, _) in pairs.items()}, {key: json for key, (_, json) in pairs.items()}
    if pa.types.is_nested(kind):
        items = [draw_value(kind.value_type, generator) for _ in range(generator.randrange(3))]
        return [given for given, _ in items], [json for _, json in items]
    value = generator.randrange(9)
    value = str(value) if pa.types.is_string(kind) else value > 4 if pa.types.is_boolean(kind) else value
    return value, value


@MANY
@given(NESTED, st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 5))
def test_nested_values_and_slices_of_them_are_those_that_were_written(kind, seed, start, length):
    generator = random.Random(seed)
    values = [draw_value(kind, generator) for _ in range(8)]
    array = pa.array([given for given, _ in values], kind)
    assert to_json_values(array.slice(start, length)) == [json for _, json in values][start : start + length]


def test_integers_of_every_type_are_ids(tmp_path):
    for kind in (pa.int8(), pa.uint64(), pa.decimal128(9, 0)):
        path = write_parquet(tmp_path, {"id": pa.array([7], kind), "text": ["t"]})
        assert [document.doc_id for document in read_corpus(path)] == ["7"]


# ---- columns


def test_a_column_that_is_excluded_is_not_decoded(tmp_path):
    path = write_parquet(tmp_path, {"text": ["t"] * 9, "v": [[0.5] * 1000] * 9, "x": [1] * 9}, use_dictionary=False)
    column = next(
        group.column(i)
        for group in [parquet.ParquetFile(path).metadata.row_group(0)]
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.startswith("v.")
    )
    damaged = bytearray(path.read_bytes())
    damaged[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = bytes(
        column.total_compressed_size
    )
    path.write_bytes(damaged)
    with pytest.raises(CorpusError, match="expected a row group of Parquet"):
        list(read_corpus(path))
    for options in (ReadOptions(exclude_columns=("v",)), ReadOptions(columns=("x",))):
        assert [document.metadata for document in read_corpus(path, options)] == [{"x": 1}] * 9


TABLE = {"id": [7], "text": ["t"], "v": [[0.5]], "m": [{"v": [1], "x": 2}], "a.b": [3], "b": [b"bytes"]}


@pytest.mark.parametrize(
    ("options", "metadata"),
    [
        ({"columns": ("v",)}, {"v": [0.5]}),
        ({"columns": ("m.x", "a.b")}, {"m": {"x": 2}, "a.b": 3}),
        ({"exclude_columns": ("b", "v", "m.v")}, {"m": {"x": 2}, "a.b": 3}),
        ({"exclude_columns": ("b", "m", "a.b")}, {"v": [0.5]}),
    ],
)
def test_only_the_chosen_columns_are_read(tmp_path, options, metadata):
    (document,) = read_corpus(write_parquet(tmp_path, TABLE), ReadOptions(**options))
    assert (document.doc_id, document.text, document.metadata) == ("7", "t", metadata)


@pytest.mark.parametrize("option", ["columns", "exclude_columns"])
def test_a_column_that_the_file_lacks_is_refused(tmp_path, option):
    with pytest.raises(
        CorpusError, match=r'a\.parquet: expected a field "nope" \(--(exclude-)?columns\), got the fields'
    ):
        list(read_corpus(write_parquet(tmp_path, TABLE), ReadOptions(**{option: ("nope",)})))


def test_fields_may_be_nested(tmp_path):
    path = write_parquet(tmp_path, {"meta": [{"id": 7, "head": "H", "x": 1}], "body": [{"text": "t"}]})
    fields = Fields("meta.id", "body.text", "meta.head")
    (document,) = read_corpus(path, ReadOptions(fields))
    assert (document.doc_id, document.text, document.title) == ("7", "t", "H")
    assert document.metadata == {"meta": {"x": 1}}
    (document,) = read_corpus(path, ReadOptions(fields, columns=("meta.x",)))
    assert document.metadata == {"meta": {"x": 1}}


# ---- errors


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["a"]}, '.parquet: expected a column "text" (text_field), got the fields body'),
        ({"text": ["a"], "id": [1.0]}, '.parquet:1: expected an "id" string or integer, got the number 1.0'),
        ({"text": [b"a"]}, '.parquet:1: column "text": expected values that JSON can represent, got the type binary'),
        (
            {"text": ["a"], "x": [b"b"]},
            '.parquet:1: column "x": expected values that JSON can represent, got the type binary; leave it out with '
            "--exclude-columns x",
        ),
        ({"text": ["a"], "x": [[b"b"]]}, 'column "x": expected values that JSON can represent, got the type binary;'),
        ({"text": ["a"], "x": pa.array([b"b"], pa.binary(1))}, "got the type fixed_size_binary[1]; leave it out"),
        ({"text": ["a"], "x": pa.array([b"b"], pa.large_binary())}, "got the type large_binary; leave it out"),
        ({"text": ["a", "b"], "x": [1.0, float("inf")]}, '.parquet:2: column "x": expected finite numbers, got an inf'),
        ({"text": ["a", "b"], "x": [[1.0], [-float("inf")]]}, '.parquet:2: column "x": expected finite numbers, got'),
        (
            {"text": ["a"], "x": pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))},
            '.parquet:1: column "x": expected a map with different keys, got one of them twice',
        ),
        (
            {"text": ["a", "b"], "x": pa.array([b"a", b"\xff"]).view(pa.string())},
            '.parquet:2: column "x": ',
        ),
    ],
)  # fmt: skip
def test_a_wrong_parquet_file_is_refused(tmp_path, columns, message):
    with pytest.raises(CorpusError) as error:
        list(read_corpus(write_parquet(tmp_path, columns)))
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"", b"plain", b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.parquet: expected a Parquet file, got: "):
        list(read_corpus(tmp_path / "a.parquet"))


def test_a_file_without_rows_holds_no_documents(tmp_path):
    path = write_parquet(tmp_path, {"text": pa.array([], pa.string()), "b": pa.array([], pa.binary())})
    with pytest.raises(CorpusError, match="expected documents, got none"):
        list(read_corpus(path))


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"a\.parquet: expected a file, got a pipe"):
        list(read_corpus(tmp_path / "a.parquet"))


DAMAGE = """
import random, sys
from hpdsearch.corpus import read_corpus
from hpdsearch.errors import HpdsearchError
raw = open(sys.argv[1], "rb").read()
for seed in range(int(sys.argv[2])):
    generator = random.Random(seed)
    damaged = bytearray(raw)
    for _ in range(generator.randrange(1, 5)):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    open(sys.argv[1], "wb").write(damaged[: generator.choice([len(damaged), generator.randrange(len(damaged))])])
    try:
        list(read_corpus(sys.argv[1]))
    except HpdsearchError:
        pass
"""


@pytest.mark.slow
def test_a_damaged_file_is_an_error_and_no_traceback(tmp_path):
    columns = {name: array for name, (array, _) in VALUES.items()} | {"text": ["t"]}
    path = write_parquet(tmp_path, columns)
    child = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(path), "300"], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_the_error_for_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = write_parquet(tmp_path, {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "hpdsearch\[parquet\]"'):
        read_corpus(path)


# ---- skipping


def skip(path, **options):
    """Return texts and doc_id numbers, and the reasons of what was skipped."""
    reader = read_corpus(path, ReadOptions(on_error=OnError.SKIP, **options))
    documents = [(document.text, int(document.source.rpartition(":")[2])) for document in reader]
    return documents, reader.stats.skipped.reasons


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b", "c"], "x": [1.0, float("inf"), 2.0]}, '.parquet:2: column "x": expected finite numbers'),
        ({"text": ["a", "b", "c"], "id": ["x", " ", "y"]}, '.parquet:2: expected an "id" with characters in it'),
        ({"text": ["a", "b\0", "c"]}, ".parquet:2: expected text, got a NUL character"),
        ({"text": pa.array([b"a", b"caf\xe9", b"c"]).cast(pa.string(), safe=False)}, '.parquet:2: column "text": '),
    ],
)
def test_a_bad_row_is_left_out(tmp_path, columns, message):
    path = write_parquet(tmp_path, columns)
    documents, (reason,) = skip(path)
    assert documents == [("a", 1), ("c", 3)]
    assert message in reason


def test_bad_rows_among_many_are_left_out_one_by_one(tmp_path):
    numbers = [float("inf") if n in (0, 700, 701, 4999) else 1.0 for n in range(5000)]
    path = write_parquet(tmp_path, {"text": [f"t{n}" for n in range(5000)], "x": numbers})
    documents, reasons = skip(path)
    assert documents == [(f"t{n}", n + 1) for n in range(5000) if n not in (0, 700, 701, 4999)]
    assert [reason.partition(".parquet:")[2].partition(":")[0] for reason in reasons] == ["1", "701", "702", "5000"]


def test_a_null_text_is_an_empty_text(tmp_path):
    path = write_parquet(tmp_path, {"text": ["a", None], "title": [None, None]})
    documents = list(read_corpus(path, keep_empty=True))
    assert [(document.text, document.title) for document in documents] == [("a", ""), ("", "")]


def test_a_type_that_json_lacks_costs_the_file(tmp_path):
    path = write_parquet(tmp_path, {"text": ["a", "b"], "x": [b"x", b"y"]})
    (tmp_path / "b.txt").write_text("c")
    documents, (reason,) = skip([path, tmp_path / "b.txt"])
    assert documents == [("c", 1)]
    assert "got the type binary; leave it out with --exclude-columns x" in reason


@pytest.mark.parametrize("group", range(3))
def test_a_damaged_row_group_is_left_out_and_the_others_are_read(tmp_path, group):
    texts = [f"text number {n} {n * n}" for n in range(3000)]
    path = write_parquet(tmp_path, {"text": texts}, row_group_size=1000, compression="none", use_dictionary=False)
    column = parquet.ParquetFile(path).metadata.row_group(group).column(0)
    raw = bytearray(path.read_bytes())
    raw[column.data_page_offset : column.data_page_offset + 20] = b"\xff" * 20  # the header of the page
    path.write_bytes(raw)
    documents, (reason,) = skip(path)
    first = 1000 * group
    assert documents == [(text, n) for n, text in enumerate(texts, start=1) if not first < n <= first + 1000]
    assert f".parquet: rows {first + 1} to {first + 1000}: expected a row group of Parquet" in reason
    with pytest.raises(CorpusError, match=rf"rows {first + 1} to {first + 1000}"):
        list(read_corpus(path))
