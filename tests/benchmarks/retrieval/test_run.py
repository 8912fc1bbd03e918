"""Test the retrieval benchmark: recall against brute force, quality and ratios by hand, and a tiny complete run."""

import argparse
import importlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_encoder
from beir_folder import write_beir
from tiny_encoder import WORDS, make_tiny_encoder, make_tiny_static
from tiny_teacher import HIDDEN, make_tiny_teacher

from hpdsearch.dense import VectorFile, VectorWriter
from hpdsearch.encoder.space import write_space
from hpdsearch.evaluation import read_collections

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
embedded = importlib.import_module("benchmarks.common.vector_cache")
mixed = importlib.import_module("benchmarks.common.mixed_corpus")
retrieval = importlib.import_module("benchmarks.retrieval.run")
retrieval_faiss = importlib.import_module("benchmarks.retrieval.faiss_baselines")
retrieval_models = importlib.import_module("benchmarks.retrieval.models")
retrieval_path = importlib.import_module("benchmarks.retrieval.end_to_end")
retrieval_size = importlib.import_module("benchmarks.retrieval.size")
retrieval_systems = importlib.import_module("benchmarks.retrieval.systems")
retrieval_vectors = importlib.import_module("benchmarks.retrieval.vectors")
measurement_at = importlib.import_module("benchmarks.scale.figures").measurement_at

DIM = 32
SMALL, LARGE = 5_000, 5_100  # the second is larger than --teacher-up-to
CORPUS = [{"_id": f"of-{word}", "title": "", "text": f"the {word} of the river"} for word in WORDS]
QUERIES = {"cat": "a cat", "dog": "a dog", "again": "a cat", "ship": "the ship"}
QRELS = [("cat", "of-cat", 1), ("dog", "of-dog", 2), ("again", "of-cat", 1), ("ship", "of-ship", 1)]
MIXED_IN = sorted(set(WORDS) - {"cat", "dog", "ship"})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Write a judged collection of short texts, and a file of haystack texts."""
    folder = tmp_path_factory.mktemp("data")
    write_beir(folder / "retrieval" / "rivers", CORPUS, QUERIES, QRELS)
    rng = random.Random(0)
    lines = {" ".join(rng.choices(MIXED_IN, k=6)) for _ in range(LARGE + 400)}
    (folder / "fill.txt").write_text("\n".join(sorted(lines)))
    return folder


@pytest.fixture(scope="module")
def texts(data) -> "retrieval_vectors.Texts":
    return retrieval_vectors.Texts(mixed.mix_corpus(read_collections(data / "retrieval"), [data / "fill.txt"], 300))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> VectorFile:
    """Write vectors in an ellipsoid."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6_000, 64)) * np.arange(1, 65) ** -0.3
    path = tmp_path_factory.mktemp("vectors") / "vectors.f16"
    with VectorWriter(path, 64) as writer:
        writer.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    return VectorFile(path, 6_000, 64)


# ---- faiss alone


def brute_force(file: VectorFile, queries: np.ndarray) -> np.ndarray:
    """Return the ten best rows of each query."""
    return np.argsort(-queries @ file.block(0, file.n_rows).T, axis=1)[:, :10]


def found_share(file: VectorFile, kind: str, path: Path, setting: dict) -> float:
    """Return the recall by brute force, without the functions of the benchmark."""
    rng = np.random.default_rng(1)
    queries = file.rows(np.arange(100)) + 0.05 * rng.normal(size=(100, 64)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    search = retrieval_faiss.make_search(retrieval_faiss.load_index(kind, path), file, setting)
    found = search(queries, 10)
    assert found.shape == (100, 10)
    np.testing.assert_array_equal(found[:7], np.vstack([search(query[None], 10) for query in queries[:7]]))
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, brute_force(file, queries), strict=True)])


@pytest.mark.parametrize(
    ("kind", "name", "least", "code_bytes"),
    [("flat f32", "", 0.999, 256), ("flat sq8", "", 0.9, 64), ("ivf f32", "nprobe", 0.9, 264)],
)
def test_a_plain_faiss_index_agrees_with_brute_force(file, tmp_path, kind, name, least, code_bytes):
    task = {"vectors": str(file.path), "n": file.n_rows, "dim": 64, "index": str(tmp_path / "i"), "kind": kind}
    made = retrieval_faiss.build(task)
    assert list(made["setting"]) == ([name] if name else [])
    assert made["size_bytes"] == (tmp_path / "i").stat().st_size >= code_bytes * file.n_rows
    assert made["size_bytes"] < code_bytes * file.n_rows * 1.2
    assert found_share(file, kind, tmp_path / "i", made["setting"]) > least


def test_rescore_of_binary_codes_is_the_smallest_power_of_two_that_meets_the_recall_target(file, tmp_path):
    task = {"vectors": str(file.path), "n": file.n_rows, "dim": 64, "index": str(tmp_path / "i")}
    made = retrieval_faiss.build({**task, "kind": "flat binary"})
    rescore = made["setting"]["rescore"]
    assert rescore & (rescore - 1) == 0
    assert made["size_bytes"] == pytest.approx(64 / 8 * file.n_rows, rel=0.01)
    # Queries are vectors of the corpus, each left out of its own answer.
    queries, positions = file.rows(np.arange(0, 6_000, 20)), np.arange(0, 6_000, 20)
    scores = queries @ file.block(0, 6_000).T
    scores[np.arange(300), positions] = -1
    best = np.argsort(-scores, axis=1)[:, :10]
    shares = []
    for number in (rescore, rescore // 4):
        search = retrieval_faiss.make_search(
            retrieval_faiss.load_index("flat binary", tmp_path / "i"), file, {"rescore": number}
        )
        found = search(queries, 11)
        others = [[r for r in rows if r != own] for rows, own in zip(found, positions, strict=True)]
        shares.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(others, best, strict=True)]))
    assert shares[0] > 0.93
    assert shares[1] < 0.95


def test_the_sign_of_each_dimension_is_a_bit():
    signs = retrieval_faiss.signs(np.array([[1, -1, 0.5, -2, 0, 3, -1, 1]], np.float32))
    assert signs.tolist() == [[0b10100101]]


# ---- vectors and texts


def source_of(calls: list) -> "embedded.Source":
    def encode(texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        return np.array([np.random.default_rng(len(text) + ord(text[0])).normal(size=16) for text in texts], np.float32)

    return embedded.EncoderSource("one", "one-key", encode)


def test_texts_are_encoded_in_complete_blocks_that_every_size_reuses(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval_vectors, "BLOCK", 120)
    calls: list[int] = []
    vectors = retrieval_vectors.EncodedTexts(source_of(calls), texts, tmp_path)
    small = np.vstack(list(vectors.blocks(150, 8)))
    assert calls == [3, 120, 120]  # each query text once
    assert small.shape == (150, 8)
    np.testing.assert_allclose(np.linalg.norm(small, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.vstack(list(vectors.blocks(300, 8)))[:150], small)
    assert calls == [3, 120, 120, 60]
    again = retrieval_vectors.EncodedTexts(source_of(calls), texts, tmp_path)
    np.testing.assert_array_equal(again.query_vectors(8), vectors.query_vectors(8))
    assert len(calls) == 4
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "one-key").iterdir())
    assert names == ["mixed-00000", "mixed-00001", "mixed-00002", "mixed-queries"]
    assert again.key == vectors.key


def test_back_projected_vectors_keep_their_cosines(texts, tmp_path):
    encoded = retrieval_vectors.EncodedTexts(source_of([]), texts, tmp_path)
    components = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 16)))[0].T.astype(np.float32) * 3
    wide = retrieval_vectors.BackProjectedTexts(encoded, components, "some teacher")
    ours, theirs = (np.vstack(list(one.blocks(40))) for one in (encoded, wide))
    assert theirs.shape == (40, 24)
    np.testing.assert_allclose(theirs @ wide.query_vectors().T, ours @ encoded.query_vectors().T, atol=1e-5)
    with pytest.raises(SystemExit, match=r"expected a space of 16 dimensions \(encoder one\), got 15"):
        retrieval_vectors.BackProjectedTexts(encoded, components[:15], "some teacher")


def test_ndcg_is_computed_from_the_ids_that_each_query_found(texts):
    assert texts.query_texts == ["a cat", "a dog", "the ship"]
    rows = {doc_id: row for row, doc_id in enumerate(texts.doc_ids)}
    cat, dog, ship = (rows[f"rivers/{doc_id}"] for doc_id in ("of-cat", "of-dog", "of-ship"))
    found = np.array([[cat, dog, -1], [cat, ship, dog], [cat, dog, -1]])
    run = texts.run(found.tolist())
    assert run["rivers/cat"] == run["rivers/again"] == ["rivers/of-cat", "rivers/of-dog"]
    size = retrieval_size.CorpusSizeRun(300, texts, None, argparse.Namespace())
    # Ranks 1, 1 (the same text), 3, none: the gain at rank 3 is halved.
    assert size.ndcg(found) == pytest.approx(100 * (1 + 1 + 1 / np.log2(4) + 0) / 4)


# ---- figures


def test_ratios_are_taken_round_by_round_against_the_teachers_exact_search(texts):
    keys = {"encoder": "e", "index": "i"}
    made = [
        measurement_at("teacher, 768, flat f32", 9, "query p50", "ms", [10, 30], dim=768, **keys),
        measurement_at("teacher, 768, flat f32", 9, "resident memory", "MB", [300], dim=768, **keys),
        measurement_at("base, 128, flat f32", 9, "query p50", "ms", [2, 3], dim=128, **keys),
        measurement_at("base, 128, ivf pq", 9, "query p50", "ms", [0.1, 0.2], dim=128, **keys),
        measurement_at("base, 128, ivf pq", 9, "resident memory", "MB", [3], dim=128, **keys),
    ]
    models = argparse.Namespace(encoder=argparse.Namespace(name="base"), narrow=128)
    size = retrieval_size.CorpusSizeRun(9, texts, models, argparse.Namespace())
    found = [(one["system"], one["what"], one["values"]) for one in size.ratios(made, ["base, 128, ivf pq"])]
    paper = "the paper's own ratio, flat f32 at 768 / flat f32 at 128 numbers: times as fast"
    assert found == [
        ("base, 128, flat f32", paper, [5, 10]),
        ("base, 128, ivf pq", "times as fast as teacher, flat f32", [100, 150]),
        ("base, 128, ivf pq", "times less memory than teacher, flat f32", [100]),
    ]


def test_the_smallest_width_has_every_index_and_others_have_few(texts):
    models = argparse.Namespace(encoder=argparse.Namespace(name="base"), vectors=None, narrow=128)
    narrow, wide = (retrieval_models.Models.group(models, dim).indexes for dim in (128, 256))
    assert {f"{kind} {codec}" for kind in ("flat", "ivf") for codec in ("sq8", "pq", "rabitq")} < set(narrow)
    assert set(wide) == {"flat f32", "flat sq8", "flat pq", "ivf pq"}


# ---- a whole run


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> dict:
    """Return the result of two sizes; the smaller one has real teacher vectors and all other systems."""
    folder = tmp_path_factory.mktemp("run")
    teacher = make_tiny_teacher(folder / "teacher")
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(HIDDEN, HIDDEN)))[0][:DIM]
    space = write_space(folder / "space", teacher="teacher", teacher_hash="", components=directions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_encoder, "tiny_space", lambda seed: space.id)
        encoder, static = make_tiny_encoder(folder / "e", dim=DIM), make_tiny_static(folder / "s", dim=DIM)
        patch.setattr(retrieval_models, "ALL", ("flat f32", "flat pq", "ivf pq"))
        patch.setattr(retrieval_models, "CHOSEN", ("flat pq",))
        patch.setattr(retrieval_models, "OF_OTHERS", ("flat pq",))
        words = ["--data", data, "--mix", "rivers", "--fill", data / "fill.txt", "--n", LARGE, SMALL]
        words += ["--dims", DIM, DIM // 2, "--encoder", encoder, "--others", static, "--query-encoder", static]
        words += ["--others-at", SMALL, "--teacher", teacher, "--teacher-up-to", SMALL, "--space", folder / "space"]
        words += ["--student", make_tiny_teacher(folder / "mini", seed=1)]
        words += ["--cache", folder / "cache", "--work", folder / "work", "--repeats", 1, "--output", folder / "r.json"]
        patch.setattr(sys, "argv", ["retrieval.py", *map(str, words)])
        retrieval.main()
    text = (folder / "r.json").read_text()
    assert str(folder.parent) not in text  # a result contains no folder
    return json.loads(text)


def rows_of(made: dict, n: int) -> dict:
    return {(one["system"], one["what"]): one for one in made["measurements"] if one["n"] == n}


def test_every_system_has_quality_speed_and_bytes(made):
    rows = rows_of(made, SMALL)
    teacher = [f"teacher, {HIDDEN}, {index}" for index in ("flat f32", "ivf f32", "flat sq8", "flat binary")]
    ours = ["tiny, 16, flat f32", "tiny, 16, flat pq", "tiny, 16, ivf pq", "tiny, 32, flat pq"]
    ours += ["tiny-static, 16, flat pq", "tiny-static, 32, flat pq"]
    for system in [*teacher, *ours, f"mini, {HIDDEN}, flat f32"]:
        for what in ("build", "index on disk", "bytes a document", "resident memory", "batch", "query p99"):
            assert rows[system, what]["median"] > 0, (system, what)
        assert rows[system, "query p50"]["median"] <= rows[system, "query p99"]["median"]
        assert 0.85 < rows[system, "ann_recall@10"]["median"] <= 1
        assert 0 <= rows[system, "nDCG@10"]["median"] <= 100
        assert rows[system, "query p50"]["queries_a_round"] == [3]
    assert rows[teacher[0], "ann_recall@10"]["median"] == rows["tiny, 16, flat f32", "ann_recall@10"]["median"] == 1
    assert rows[teacher[0], "bytes a document"]["median"] == pytest.approx(HIDDEN * 4, rel=0.01)
    assert rows[teacher[3], "bytes a document"]["median"] == pytest.approx(HIDDEN / 8, rel=0.05)
    assert (teacher[0], "vectors on disk") not in rows
    assert rows[teacher[3], "vectors on disk"]["median"] == pytest.approx(SMALL * (HIDDEN * 2 + 4) / 1e6)
    found = rows["tiny, 16, ivf pq", "query p50"]
    assert {key: found[key] for key in ("encoder", "dim", "index", "kind", "codec")} == {
        "encoder": "tiny",
        "dim": 16,
        "index": "ivf pq",
        "kind": "ivf",
        "codec": "pq",
    }
    assert found["spec"]["kind"] == "ivf"


def test_bm25_and_hybrid_have_the_same_measurements_as_vectors(made):
    rows = rows_of(made, SMALL)
    for system in ("BM25", "tiny and BM25, 32, hybrid"):
        for what in ("build", "index on disk", "bytes a document", "query p50"):
            assert rows[system, what]["median"] > 0
    assert rows["BM25", "nDCG@10"]["median"] == 100  # no other text contains the terms of the queries
    assert rows["BM25", "query p50"]["dim"] is None
    assert rows["tiny and BM25, 32, hybrid", "query p50"]["index"] == "hybrid"


def test_end_to_end_latency_is_encoding_plus_search(made):
    rows = rows_of(made, SMALL)
    paths = [f"teacher asks teacher, {HIDDEN}, {index}" for index in ("flat f32", "ivf f32")]
    paths += ["tiny asks tiny, 16, ivf pq", "tiny asks tiny, 32, flat pq", "tiny-static asks tiny, 16, ivf pq"]
    for path in paths:
        whole, encode, search = (rows[path, what]["median"] for what in ("whole path p50", "encode p50", "search p50"))
        assert 0 < max(encode, search) <= whole
        assert (path, "whole path nDCG@10") in rows
    quality = [rows[name]["median"] for name in ((paths[3], "whole path nDCG@10"), ("tiny, 32, flat pq", "nDCG@10"))]
    assert quality[0] == quality[1]


def test_above_teacher_up_to_teacher_rows_are_back_projected_and_have_no_ndcg(made):
    rows = rows_of(made, LARGE)
    teacher = f"teacher, {HIDDEN}, flat f32"
    assert rows[teacher, "query p50"]["lifted"] is True
    assert "lifted" not in rows_of(made, SMALL)[teacher, "query p50"]
    assert (teacher, "nDCG@10") not in rows
    assert (f"teacher asks {teacher}", "whole path nDCG@10") not in rows
    assert rows[teacher, "ann_recall@10"]["median"] == 1
    assert ("BM25", "query p50") not in rows
    assert f"at {LARGE:,} documents" in made["settings"]["lifted"]
    assert made["settings"]["measured so far"] == [SMALL, LARGE]


def test_wrong_options_say_what_was_expected(monkeypatch, data, capsys):
    def refused(*words):
        monkeypatch.setattr(
            sys, "argv", ["retrieval.py", "--data", str(data), "--fill", str(data / "fill.txt"), *words]
        )
        with pytest.raises(SystemExit) as error:
            retrieval.main()
        return capsys.readouterr().err + str(error.value)

    assert "expected some of rivers, got lakes" in refused("--n", "5000", "--mix", "lakes")
    assert "expected at least 5,000 (smaller indexes have no IVF), got 100" in refused("--n", "100")
    assert "--model2vec needs --teacher" in refused("--model2vec")
    assert "--dims: expected at most 256" in refused(
        "--n", "5000", "--mix", "rivers", "--dims", "300", "--encoder", "static"
    )
