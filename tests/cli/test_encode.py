"""The commands encode and encoders."""

import json
from pathlib import Path

import numpy as np
import pytest

from hpdsearch import Encoder


def test_encode_writes_npy_that_equals_the_encoder(run, corpus, tiny_folder):
    result = run("encode", corpus, "--encoder", tiny_folder, "-o", "v.npy")
    assert result.exit_code == 0, result.output
    encoder = Encoder.load(tiny_folder)
    assert result.stdout == f"v.npy: 4 x {encoder.dim} float32\n"
    expected = encoder.encode(["joy\nthe emotion of great happiness"])[0]
    vectors = np.load("v.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[2], expected, atol=1e-6)


def test_encode_prints_a_json_array_a_line(run, tiny_folder):
    result = run("encode", "-", "--encoder", tiny_folder, input="fear\njoy\n")
    vectors = np.array([json.loads(line) for line in result.stdout.splitlines()])
    np.testing.assert_allclose(vectors, Encoder.load(tiny_folder).encode(["fear", "joy"]), atol=1e-5)


def test_a_failed_encode_leaves_no_file(run, tmp_path, tiny_folder):
    (tmp_path / "bad.txt").write_bytes(b"good\n\xff\xfe\n")
    result = run("encode", "bad.txt", "--encoder", tiny_folder, "-o", "v.npy")
    assert result.exit_code == 1
    assert "bad.txt:2" in result.stderr
    assert not list(tmp_path.glob("v.npy*"))


# ---- row i is record i

BLANKS = {
    "a.txt": ("fear\n\n \njoy\n", ["fear", "", "", "joy"], ["a.txt:1", "a.txt:2", "a.txt:3", "a.txt:4"]),
    "only.txt": ("\n\n", ["", ""], ["only.txt:1", "only.txt:2"]),
    "a.jsonl": (
        '{"id": "x", "text": "fear"}\n{"id": "y", "text": null}\n\n{"id": "z", "text": " "}\n{"id": 7, "text": "joy"}',
        ["fear", "", "", "", "joy"],
        ["x", "y", "a.jsonl:3", "z", "7"],
    ),
    "a.json": ('[{"id": "x", "text": ""}, {"id": "y", "text": "joy"}]', ["", "joy"], ["x", "y"]),
    "a.csv": ("id,text\nx,fear\ny,\nz, \n\nx,fear\n", ["fear", "", "", "", "fear"], ["x", "y", "z", "a.csv:5", "x"]),
    "a.tsv": ("id\ttext\nx\t\ny\tjoy\n", ["", "joy"], ["x", "y"]),
    "a.md": ("\n", [""], ["a.md"]),
    "full.txt": ("fear\njoy", ["fear", "joy"], ["full.txt:1", "full.txt:2"]),
}


@pytest.mark.parametrize("name", BLANKS)
def test_row_i_is_record_i_and_the_ids_stand_beside_it(run, tiny_folder, name):
    content, texts, ids = BLANKS[name]
    Path(name).write_text(content)
    result = run("encode", name, "--encoder", tiny_folder, "-o", "v.npy", "--ids", "ids.txt")
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(np.load("v.npy"), Encoder.load(tiny_folder).encode(texts), atol=1e-6)
    assert Path("ids.txt").read_text() == "".join(f"{each}\n" for each in ids)
    n_blank = texts.count("")
    assert result.stderr == (
        f"notes:      {n_blank} blank records have the vector of the empty text\n" if n_blank else ""
    )


def test_blank_lines_of_standard_input_have_rows(run, tiny_folder):
    result = run("encode", "-", "--encoder", tiny_folder, "--ids", "ids.txt", input="\nfear\n\n")
    vectors = [json.loads(line) for line in result.stdout.splitlines()]
    np.testing.assert_allclose(vectors, Encoder.load(tiny_folder).encode(["", "fear", ""]), atol=1e-5)
    assert Path("ids.txt").read_text() == "stdin:1\nstdin:2\nstdin:3\n"


def test_files_without_records_are_refused_and_write_nothing(run, tmp_path, tiny_folder):
    Path("a.txt").write_text("")
    result = run("encode", "a.txt", "--encoder", tiny_folder, "-o", "v.npy", "--ids", "ids.txt")
    assert result.exit_code == 1
    assert "a.txt: expected documents, got none" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.txt"]


def test_an_id_with_a_line_end_is_refused_and_writes_nothing(run, tmp_path, tiny_folder):
    for end in ("\\n", "\\r"):
        Path("a.jsonl").write_text(f'{{"id": "a{end}b", "text": "fear"}}')
        result = run("encode", "a.jsonl", "--encoder", tiny_folder, "-o", "v.npy", "--ids", "ids.txt")
        assert result.exit_code == 1
        assert "a.jsonl:1: expected an id of one line for --ids, got 'a" in result.stderr
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.jsonl"]


def test_rows_that_skipping_would_shift_need_ids(run, tiny_folder):
    Path("a.txt").write_bytes(b"fear\n\xff\njoy\n")
    refused = run("encode", "a.txt", "--encoder", tiny_folder, "-o", "v.npy", "--on-error", "skip")
    assert (refused.exit_code, "add --ids FILE" in refused.stderr) == (2, True)
    done = run("encode", "a.txt", "--encoder", tiny_folder, "-o", "v.npy", "--on-error", "skip", "--ids", "ids.txt")
    assert done.exit_code == 0, done.output
    assert Path("ids.txt").read_text() == "a.txt:1\na.txt:3\n"
    np.testing.assert_allclose(np.load("v.npy"), Encoder.load(tiny_folder).encode(["fear", "joy"]), atol=1e-6)
    assert "skipped:    1 (--on-error skip)\n  a.txt:2: expected UTF-8, got the byte 0xff" in done.stderr


# ---- encoders


def test_encoders_lists_the_built_in_ones(run):
    result = run("encoders")
    assert result.exit_code == 0
    for name in Encoder.names():
        assert name in result.stdout
    assert "(default)" in result.stdout


def test_the_error_for_an_unknown_encoder_lists_the_known_ones(run, corpus):
    result = run("index", corpus, "--encoder", "nobody")
    assert result.exit_code == 1
    assert Encoder.names()[0] in result.stderr
