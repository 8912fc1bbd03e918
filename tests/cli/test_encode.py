"""The commands encode and encoders."""

import json

import numpy as np

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
