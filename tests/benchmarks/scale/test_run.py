"""Test the benchmarks of scale: their arithmetic against brute force, and a tiny run of each."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hpdsearch import Encoder

pytestmark = pytest.mark.slow

adds = importlib.import_module("benchmarks.scale.adds")
index_codecs = importlib.import_module("benchmarks.scale.codecs")
scale = importlib.import_module("benchmarks.scale.run")
scale_child = importlib.import_module("benchmarks.scale.child")
scale_encoder = importlib.import_module("benchmarks.scale.fixed_encoder")
scale_figures = importlib.import_module("benchmarks.scale.figures")
scale_recall = importlib.import_module("benchmarks.scale.recall")
scale_vectors = importlib.import_module("benchmarks.scale.vectors")
scale_words = importlib.import_module("benchmarks.scale.lexical")

WIDTH = 256  # of the space whose projection gives the back-projection
N_REAL = 5_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write vectors in an ellipsoid: two files of unequal size, a third after a gap, and query vectors."""
    folder = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N_REAL + 60, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    for name, rows in (("00000", vectors[:3_000]), ("00001", vectors[3_000:N_REAL]), ("00003", vectors[:7])):
        np.save(folder / f"{name}.npy", rows)
    np.save(folder / "queries.npy", vectors[N_REAL:])
    (folder / "texts.txt").write_text("".join(f"text number {number}\n" for number in range(N_REAL)))
    (folder / "queries.txt").write_text("".join(f"query {number}?\n" for number in range(60)))
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> "scale_vectors.Source":
    return scale_vectors.VectorFolder(folder)


def run(main, monkeypatch, words: list, output: Path) -> dict:
    """Run a script with these options and return its result file."""
    monkeypatch.setattr(sys, "argv", ["script", *map(str, words), "--output", str(output)])
    main()
    text = output.read_text()
    assert str(output.parent) not in text  # a result contains no folder
    return json.loads(text)


# ---- vectors


def test_a_folder_counts_up_to_its_first_gap(source, tmp_path):
    assert source.n_real == N_REAL
    with pytest.raises(SystemExit, match=r"expected vectors in 00000\.npy"):
        scale_vectors.VectorFolder(tmp_path)
    with pytest.raises(SystemExit, match="expected at least 61 queries, got 60"):
        source.queries(61)


def test_beyond_the_real_vectors_come_copies_with_small_noise_the_same_each_time(source, folder):
    vectors = source.vectors(2 * N_REAL + 100)
    real = np.concatenate([np.load(folder / f"{name}.npy") for name in ("00000", "00001")]).astype(np.float64)
    np.testing.assert_allclose(vectors[:N_REAL], real / np.linalg.norm(real, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = (vectors[N_REAL : 2 * N_REAL] * vectors[:N_REAL]).sum(axis=1)
    assert 0.8 < cosines.min() < cosines.max() < 0.99
    assert cosines.mean() == pytest.approx(1 / np.hypot(1, scale_vectors.NOISE), abs=0.01)
    assert (vectors[2 * N_REAL :] * vectors[N_REAL : N_REAL + 100]).sum(axis=1).max() < 0.99  # other noise each time
    np.testing.assert_array_equal(source.vectors(N_REAL + 10), vectors[: N_REAL + 10])


def test_the_vectors_file_holds_the_leading_dimensions_and_is_reused(source, tmp_path):
    file = scale_vectors.vector_file(source, N_REAL + 20, 32, tmp_path)
    expected = source.vectors(N_REAL + 20)[:, :32]
    np.testing.assert_allclose(
        file.block(0, N_REAL + 20), expected / np.linalg.norm(expected, axis=1)[:, None], atol=1e-3
    )
    written = file.path.stat().st_mtime_ns
    assert scale_vectors.vector_file(source, N_REAL + 20, 32, tmp_path).path.stat().st_mtime_ns == written


def test_back_projection_keeps_cosines(source):
    components = scale.read_space(scale.SPACE).components
    vectors = source.vectors(50)
    wide = scale_vectors.back_project(vectors, components)
    assert wide.shape == (50, components.shape[1])
    np.testing.assert_allclose(wide @ wide.T, vectors @ vectors.T, atol=1e-5)


# ---- recall


def test_the_tenth_score_is_that_of_brute_force_without_the_query_itself(source):
    vectors = source.vectors(500)
    own = np.array([3, 77, 499, -1])
    queries = np.vstack([vectors[own[:3]], source.queries(1)])
    scores = queries @ vectors.T
    scores[np.arange(3), own[:3]] = -1
    expected = np.sort(scores, axis=1)[:, -10]
    blocks = (vectors[start : start + 64] for start in range(0, 500, 64))
    np.testing.assert_allclose(scale_recall.tenth_scores(blocks, queries, own), expected, atol=1e-6)


def test_rows_that_score_like_the_tenth_count_for_recall():
    # A row's score is its number / 100; rows 9 and 10 are equal, so the tenth best of 0..19 scores 0.10.
    vectors = np.array([[number / 100] for number in range(20)], np.float32)
    vectors[9] = vectors[10]
    query, tenth = np.ones((1, 1), np.float32), np.array([0.10], np.float32)
    take = vectors.__getitem__

    def share(rows, own=None, first=10):
        found = np.array([rows])
        own = None if own is None else np.array([own])
        (recall,) = scale_recall.recalls(found, query, take, tenth, own, first=[first])
        return recall

    assert share([19, 18, 17, 16, 15, 14, 13, 12, 11, 10]) == 1
    assert share([19, 18, 17, 16, 15, 14, 13, 12, 11, 9]) == 1  # as good as row 10
    assert share([19, 18, 17, 16, 15, 14, 13, 12, 11, 8]) == 0.9
    assert share([19, 18, -1, -1]) == 0.2
    assert share([5, 19, 18, 17], own=5, first=2) == 0.2  # the query itself does not count
    assert share(list(range(19, 7, -1)), first=12) == 1  # eleven are as good as the tenth, ten count
    with pytest.raises(AssertionError, match="found twice"):
        share([19, 19])


# ---- figures


def test_the_exponent_of_a_square_root_is_a_half():
    made = [scale_figures.measurement_at("ivf pq", n, "query p50", "ms", [3 * n**0.5]) for n in (100, 10_000, 40_000)]
    (fitted,), _ = scale_figures.figures(made)
    assert fitted["median"] == pytest.approx(0.5)
    assert fitted["factor"] == pytest.approx(3)
    assert scale_figures.figures(made[:1])[0] == []


def test_targets_are_those_of_the_measured_sizes():
    made = [
        scale_figures.measurement_at("ivf rabitq", 1_000_000, "resident memory", "MB", [49, 51, 60]),
        scale_figures.measurement_at("ivf rabitq", 10_000_000, "resident memory", "MB", [599]),
        scale_figures.measurement_at("ivf pq", 1_000_000, "query p50", "ms", [0.4]),
        scale_figures.measurement_at("ivf pq", 1_000_000, "times as fast as exact f32", "x", [80]),
        scale_figures.measurement_at("ivf pq", 100_000, "query p50", "ms", [9]),
    ]
    targets = scale_figures.figures(made)[1]
    assert [(target["name"], target["limit"], target["met"]) for target in targets] == [
        ("1,000,000: ivf pq: query p50", 0.5, True),
        ("1,000,000: ivf pq: times as fast as exact f32", 50, True),
        ("1,000,000: ivf rabitq: resident memory", 50, False),
        ("10,000,000: ivf rabitq: resident memory", 600, True),
    ]


# ---- whole runs


def test_every_system_is_built_searched_and_drawn(folder, tmp_path, monkeypatch):
    words = ["--vectors", folder, "--work", tmp_path / "work", "--n", 6000, "--queries", 40, "--batch", 60, "--quick"]
    made = run(scale.main, monkeypatch, [*words, "--systems", "flat sq8", "ivf pq"], tmp_path / "scale.json")
    rows = {(row["system"], row["what"]): row for row in made["measurements"] if "what" in row}
    exact = scale.TEACHER_EXACT
    ivf = scale.TEACHER_IVF
    for system in (exact, scale.systems.EXACT):
        assert rows[system, "ann_recall@10, corpus"]["median"] == 1
        assert rows[system, "ann_recall@10, questions"]["median"] == 1
    for system in (ivf, "flat sq8", "ivf pq"):
        assert rows[system, "ann_recall@10, corpus"]["median"] > 0.85  # few queries; the recall target is 0.95
        assert rows[system, "query p50"]["median"] <= rows[system, "query p99"]["median"]
        assert rows[system, "query p50"]["queries_a_round"] == [40]
    assert rows[exact, "memory of its vectors"]["median"] == pytest.approx(6000 * 768 * 4 / 1e6)
    assert rows["flat sq8", "index on disk"]["median"] == pytest.approx(6000 * 128 / 1e6, rel=0.05)
    assert rows["ivf pq", "query p50"]["spec"]["nprobe"] >= 1
    for what in ("build", "build, peak memory", "open", "resident memory", "batch, faiss alone / ours"):
        assert 0 < rows["ivf pq", what]["median"] < 1000
    assert [curve["system"] for curve in made["curves"]] == ["flat sq8", "ivf pq"]
    assert made["settings"]["vectors"] == [
        f"{N_REAL:,} vectors of real texts, repeated with noise of length 0.3 up to 6,000"
    ]
    for name in ("growth", "memory", "recall"):
        assert "ivf pq" in (tmp_path / f"scale-{name}.svg").read_text()


def test_codecs_find_more_among_more_candidates_and_with_more_bytes(folder, tmp_path, monkeypatch):
    words = ["--vectors", folder, "--n", 2000, "--queries", 50, "--dims", 64, "--repeats", 1]
    made = run(index_codecs.main, monkeypatch, words, tmp_path / "index_codecs.json")
    found = {(curve["name"], curve["asked"]): curve for curve in made["curves"]}
    for curve in found.values():
        assert curve["recall"] == sorted(curve["recall"])
        assert curve["milliseconds"] > 0
    for queries in ("corpus vectors", "questions"):
        assert found["64 dims, flat sq8", queries]["recall"][-1] == 1
        few, many = (found[f"64 dims, flat pq {parts} parts, rotated", queries] for parts in (16, 64))
        assert (few["code_bytes"], many["code_bytes"]) == (8, 32)
        assert few["recall"][0] < many["recall"][0]
    sizes = {item["name"]: item["median"] for item in made["measurements"] if "whole index" in item["name"]}
    equal = [f"64 dims, flat {codec}, rotated" for codec in ("pq 32 parts", "rabitq 1 bit")]
    assert [found[name, "questions"]["code_bytes"] for name in equal] == [16, 16]
    assert abs(sizes[f"{equal[0]}: whole index, a vector"] - sizes[f"{equal[1]}: whole index, a vector"]) < 3
    assert "rabitq 16 B" in (tmp_path / "index_codecs.svg").read_text()


def test_known_texts_have_their_given_vectors(source, folder):
    texts = [folder / "texts.txt", 100, folder / "queries.txt", 5]
    encoder, lines, queries = scale_encoder.load_fixed_encoder(source, *texts, dim=64)
    vectors = encoder.encode([queries[4], lines[99], "some other text"])
    given = np.vstack([source.queries(5, 64)[4], source.vectors(100, 64)[99]])
    np.testing.assert_allclose(vectors[:2], given, atol=1e-3)
    np.testing.assert_array_equal(vectors[2], Encoder.load("static", dim=64).encode(["some other text"])[0])


def test_a_grown_index_is_compared_with_a_fresh_one(folder, tmp_path, monkeypatch):
    words = ["--vectors", folder, "--texts", folder / "texts.txt", "--query-texts", folder / "queries.txt"]
    words += ["--adds", 12, "--every", 4, "--n-queries", 5, "--repeats", 2]
    made = run(adds.main, monkeypatch, words, tmp_path / "adds.json")
    values = {item["name"]: item["values"] for item in made["measurements"]}
    assert len(values["one add, without encoding"]) == 12
    assert len(values["hybrid search after each 4 adds"]) == 3
    assert values["hybrid hits in common"] == [1]
    assert [target["name"] for target in made["targets"]] == [
        "one add, without encoding",
        "dense search, grown / fresh",
        "hybrid search, grown / fresh",
    ]


def test_all_modes_are_measured_in_one_index(folder, tmp_path, monkeypatch):
    words = ["--vectors", folder, "--texts", folder / "texts.txt", "--query-texts", folder / "queries.txt"]
    words += ["--work", tmp_path, "--n", 200, "--n-queries", 5, "--repeats", 2]
    made = run(scale_words.main, monkeypatch, words, tmp_path / "words.json")
    values = {item["name"]: item["values"] for item in made["measurements"]}
    assert {f"{mode}, p{percent}" for mode in ("lexical", "dense", "hybrid") for percent in (50, 95, 99)} <= set(values)
    assert all(len(values[f"{mode}, p50"]) == 2 for mode in ("lexical", "dense", "hybrid"))
    assert len(made["targets"]) == 4
