"""Test the quality benchmark: every row agrees with hpdsearch.evaluation, and the page shows the result."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from beir_folder import CORPUS, write_beir
from brute_force import compute_coverage
from tiny_encoder import make_tiny_encoder, tiny_table, tiny_tokenizer
from tiny_teacher import make_tiny_teacher

from hpdsearch import Document, Encoder, Index
from hpdsearch.distillation.export.static import export_static
from hpdsearch.distillation.space.projection import fit_projection
from hpdsearch.distillation.spec import Precision, ProjectionSpec, WeightedTeacher
from hpdsearch.distillation.teacher.ensemble import TeacherEnsemble
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.encoder import write_space
from hpdsearch.encoder.query_adapter import QueryAdapter, write_query_adapter
from hpdsearch.errors import CacheError
from hpdsearch.evaluation import evaluate_retrieval, evaluate_sts, ndcg_at_k, rank_doc_ids, read_collections, read_sts

ROOT = Path(__file__).parents[3]
embedded = importlib.import_module("benchmarks.common.vector_cache")
page = importlib.import_module("benchmarks.report.encoders_page")
quality = importlib.import_module("benchmarks.quality.run")
judge = importlib.import_module("benchmarks.quality.judge")
report = importlib.import_module("benchmarks.common.results")

PAIRS = [
    (5.0, "a cat runs", "the cat runs"),
    (4.0, "a small bird sings", "the bird sings on a tree"),
    (2.5, "the king of war", "the queen of peace"),
    (1.0, "cold rain", "a ship on the river"),
    (0.0, "red stone", "a woman and a child"),
]
LINES = ["the dog sleeps", "a fish in the sea", "snow and wind", "old iron ship", "song of the moon", "green tree"]
LINES += ["a child with a book", "gold and stone", "the king is old", "rain on the house", "big fire", "blue star"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Write data and models, and return them with the result of one run."""
    root = tmp_path_factory.mktemp("family")
    task = root / "data" / "sts" / "pairs"
    task.mkdir(parents=True)
    (task / "test.tsv").write_text("".join(f"{score}\t{one}\t{other}\n" for score, one, other in PAIRS))
    write_beir(root / "data" / "retrieval" / "alpha")
    beta = [*CORPUS[1:], {"_id": "e", "title": "", "text": "birds of prey"}]
    qrels = [("q1", "c", 1), ("q2", "e", 1), ("q3", "d", 1), ("q5", "a", 1)]
    write_beir(root / "data" / "retrieval" / "beta", beta, qrels=qrels)
    (root / "lines.txt").write_text("".join(f"{line}\n" for line in LINES))
    teacher, student = make_tiny_teacher(root / "big"), make_tiny_teacher(root / "mini", seed=1)
    directions = fit_projection([Teacher.load(teacher).encode(LINES * 2)], ProjectionSpec(dim=8)).components
    space = write_space(root / "space", teacher="big", teacher_hash="0", components=directions)
    static = export_static(
        root / "static", name="static", space=space.id, table=tiny_table(8), tokenizer=tiny_tokenizer(), max_tokens=20,
        precision=Precision.FLOAT32,
    )  # fmt: skip
    tiny = make_tiny_encoder(root / "tiny", precision=Precision.INT8)
    rng = np.random.default_rng(5)
    offset, scale = rng.normal(size=16).astype(np.float32) / 10, rng.uniform(0.5, 1.5, 16).astype(np.float32)
    write_query_adapter(tiny, QueryAdapter(offset, scale))
    words = ["quality.py", "--data", root / "data", "--teacher", teacher, "--space", root / "space"]
    words += [
        "--encoders",
        static,
        tiny,
        "--student",
        student,
        "--fit-texts",
        root / "lines.txt",
    ]
    words += ["--dims", 16, 8, 4, "--peer-dims", 8, 4, "--cache", root / "vectors", "-o", root / "quality.json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(map(str, words)))
        # Whether integer products are exact depends on the processor.
        patch.setattr(quality, "has_exact_int8", lambda folder: (folder / "model.int8.onnx").is_file())
        quality.main()
    result = json.loads((root / "quality.json").read_text())
    return SimpleNamespace(
        root=root,
        result=result,
        rows={(row["system"], row["dim"]): row for row in result["systems"]},
        tasks=read_sts(root / "data" / "sts"),
        collections=read_collections(root / "data" / "retrieval"),
        teacher=Teacher.load(teacher, dtype=torch.float32).encode,
        student=Teacher.load(student, dtype=torch.float32).encode,
        space=space,
        static=static,
        tiny=tiny,
    )


def require_row(made, name, dim, encode, documents=None):
    row = made.rows[name, dim]
    retrieval = evaluate_retrieval(made.collections, encode, documents)
    assert row["retrieval"]["means"] == pytest.approx(retrieval.means, abs=1e-3)
    for found in retrieval.collections:
        assert row["retrieval"]["collections"][found.name] == pytest.approx(found.means, abs=1e-3)
    if documents is None:
        sts = evaluate_sts(made.tasks, encode)
        assert row["sts"]["average"] == pytest.approx(sts.average, abs=1e-3)
        assert row["sts"]["tasks"] == pytest.approx({task.name: task.spearman for task in sts.tasks}, abs=1e-3)


def test_every_system_is_a_row_in_the_order_of_measurement(made):
    wanted = [("big", 32), ("big projected", 8), ("big projected", 4), ("mini", 32), ("mini projected", 8)]
    wanted += [("mini projected", 4), ("static", 8), ("static", 4), ("static asks big projected", 8)]
    wanted += [("static asks big projected", 4), ("static hybrid", 8), ("tiny", 16), ("tiny", 8), ("tiny", 4)]
    wanted += [("tiny hybrid", 16), ("tiny float32", 16), ("tiny float32", 8), ("tiny float32", 4), ("BM25", None)]
    assert list(made.rows) == wanted


def test_rows_have_their_kind_and_bytes_per_vector(made):
    kinds = {name: row["what"] for (name, _), row in made.rows.items()}
    assert kinds == {
        "big": "teacher",
        "big projected": "projected teacher",
        "mini": "peer",
        "mini projected": "peer",
        "static": "encoder",
        "static asks big projected": "asymmetric",
        "static hybrid": "hybrid",
        "tiny": "encoder",
        "tiny hybrid": "hybrid",
        "tiny float32": "encoder in float32",
        "BM25": "words",
    }
    assert made.rows["tiny", 8]["bytes_a_vector"] == 32
    assert "bytes_a_vector" not in made.rows["BM25", None]


def test_encoders_score_at_every_width_as_if_loaded_with_it(made):
    for dim in (8, 4):
        require_row(made, "static", dim, Encoder.load(made.static, dim=dim).encode)
    for name, backend in (("tiny", "onnx-int8"), ("tiny float32", "onnx")):
        for dim in (16, 8, 4):
            encoder = Encoder.load(made.tiny, dim=dim, backend=backend)
            require_row(made, name, dim, encoder.encode_queries, encoder.encode)
            sts = evaluate_sts(made.tasks, encoder.encode)
            assert made.rows[name, dim]["sts"]["average"] == pytest.approx(sts.average, abs=1e-3)


def test_integer_products_are_measured_only_where_they_are_exact(made, monkeypatch):
    assert not quality.has_exact_int8(made.static)
    monkeypatch.setattr(quality, "time_sessions", lambda sessions, trial: dict.fromkeys(["onnx"], 1.0))
    assert not quality.has_exact_int8(made.tiny)
    monkeypatch.setattr(quality, "time_sessions", lambda sessions, trial: dict.fromkeys(sessions, 1.0))
    assert quality.has_exact_int8(made.tiny)


def test_the_teacher_is_measured_at_full_width_and_projected(made):
    require_row(made, "big", 32, made.teacher)
    require_row(made, "big projected", 4, lambda texts: made.space.project(made.teacher(texts))[:, :4])


def test_the_initial_model_is_projected_on_its_own_directions(made):
    directions = np.linalg.svd(made.student(LINES).astype(np.float64))[2]  # rows, largest singular value first
    require_row(made, "mini", 32, made.student)
    require_row(made, "mini projected", 8, lambda texts: made.student(texts) @ directions[:8].T)


def test_asymmetric_search_encodes_documents_with_the_projected_teacher(made):
    encode = Encoder.load(made.static, dim=4).encode
    require_row(made, "static asks big projected", 4, encode, lambda t: made.space.project(made.teacher(t))[:, :4])
    assert "sts" not in made.rows["static asks big projected", 4]


def test_an_ensemble_is_that_of_the_distillation(made):
    both = TeacherEnsemble.load([made.root / "big", WeightedTeacher(made.root / "mini", 0.7)])
    name, encode = quality.ensemble(("big", made.teacher), ("mini", made.student), 0.7)
    assert name == both.name
    expected = both.concatenate([made.teacher(LINES), made.student(LINES)])
    assert encode(LINES) == pytest.approx(expected, abs=1e-6)


def test_bm25_is_evaluated_like_vectors(made):
    # alpha: q1 finds the equal texts a (relevance 2) and c, not b (1); q2 finds only itself, which does not count;
    # q3 finds d, and "lost" is in no corpus. beta: q2 finds e, and itself again; q5 shares no word with a.
    second = 1 / math.log2(3)
    alpha = 100 * (2 / (2 + second) + 0 + 1 / (1 + second)) / 3
    beta = 100 * (second + 1 + 1 + 0) / 4
    found = made.rows["BM25", None]["retrieval"]["collections"]
    assert found["alpha"]["nDCG@10"] == pytest.approx(alpha, abs=1e-3)
    assert found["beta"]["nDCG@10"] == pytest.approx(beta, abs=1e-3)


def test_a_hybrid_ranks_like_an_index_of_the_same_texts(made, tmp_path):
    encoder = Encoder.load(made.tiny)
    system = judge.System(
        judge.RowKind.HYBRID, "tiny hybrid", 16, encoder.encode, encoder.encode_queries, encoder.known_words
    )
    found = judge.measure(system, made.tasks, made.collections)
    for collection in made.collections:
        documents = [Document(doc_id, text) for doc_id, text in collection.documents()]
        index = Index.build(tmp_path / collection.name, documents, encoder=encoder)
        for query_id, query in collection.queries.items():
            if query_id != "q2":  # its text is a document, which an index finds and a judge leaves out
                hits = [hit.doc_id for hit in index.search(query, k=100)]
                wanted = 100 * ndcg_at_k(hits, collection.qrels[query_id])
                assert found.values[collection.name]["nDCG@10"][query_id] == pytest.approx(wanted)
    row = made.rows["tiny hybrid", 16]
    assert row["retrieval"]["means"]["nDCG@10"] == pytest.approx(found.mean("nDCG@10"), abs=1e-3)
    assert "sts" not in row


def test_a_hybrid_row_by_brute_force(made):
    encoder, row = Encoder.load(made.tiny), made.rows["tiny hybrid", 16]["retrieval"]["collections"]
    for collection in made.collections:
        documents = dict(collection.documents())
        rankings = judge.rank_bm25(collection)
        values = []
        for query_id, query in collection.queries.items():
            others = {doc_id: text for doc_id, text in documents.items() if (query_id, doc_id) != ("q2", "q2")}
            cosines = encoder.encode(list(others.values())) @ encoder.encode_queries([query])[0]
            bm25 = dict(rankings[query_id])
            best = max(bm25.values(), default=1)
            coverage = compute_coverage(query, documents)
            scores = {
                doc_id: round(
                    0.65 * round(float(cosine), 6) + 0.25 * coverage[doc_id] + 0.1 * bm25.get(doc_id, 0) / best, 6
                )
                for doc_id, cosine in zip(others, cosines, strict=True)
            }
            values.append(100 * ndcg_at_k(rank_doc_ids(scores), collection.qrels[query_id]))
        assert row[collection.name]["nDCG@10"] == pytest.approx(np.mean(values), abs=1e-3)


def test_percentages_and_differences_compare_with_the_teacher_at_full_width(made):
    big, tiny = made.rows["big", 32], made.rows["tiny", 8]
    assert big["of_teacher"] == {"STS": 100, "nDCG@10": 100, "recall@100": 100, "MRR@10": 100}
    assert big["less_teacher"] == {key: {"mean": 0, "low": 0, "high": 0} for key in ("STS", "nDCG@10")}
    assert tiny["of_teacher"]["STS"] == pytest.approx(100 * tiny["sts"]["average"] / big["sts"]["average"], rel=1e-5)
    for metric in ("nDCG@10", "recall@100", "MRR@10"):
        means = [row["retrieval"]["means"][metric] for row in (tiny, big)]
        assert tiny["of_teacher"][metric] == pytest.approx(100 * means[0] / means[1], rel=1e-4)
    differences = {"STS": [row["sts"]["average"] for row in (tiny, big)]}
    differences["nDCG@10"] = [row["retrieval"]["means"]["nDCG@10"] for row in (tiny, big)]
    for metric, (ours, theirs) in differences.items():
        less = tiny["less_teacher"][metric]
        assert less["mean"] == pytest.approx(ours - theirs, abs=1e-3)
        assert less["low"] <= less["mean"] <= less["high"]
        assert less["low"] < less["high"]
    assert list(made.rows["tiny hybrid", 16]["less_teacher"]) == ["nDCG@10"]


def test_a_result_lists_tasks_and_collections_but_no_folder(made):
    assert str(made.root) not in json.dumps(made.result)
    assert made.result["settings"]["tasks"] == ["pairs (5 pairs)"]
    assert made.result["settings"]["collections"] == ["alpha (3 queries)", "beta (4 queries)"]


def test_a_text_is_encoded_once_and_a_repeat_encodes_nothing(tmp_path):
    encoded: list[str] = []

    def encode(texts):
        encoded.extend(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    texts = {"one": ["a", "bb"], "two": ["bb", "cccc"]}
    source = embedded.EncoderSource("lengths", "lengths-1", encode)
    for _ in range(2):
        vectors = embedded.cached_encoder(source, texts, tmp_path)
        np.testing.assert_array_equal(vectors(["cccc", "a", "bb"]), [[4, 1], [1, 1], [2, 1]])
    assert encoded == ["a", "bb", "bb", "cccc"]  # once per collection
    embedded.cached_encoder(source, {"one": ["a", "bb", "ccc"]}, tmp_path)
    assert encoded[4:] == ["a", "bb", "ccc"], "another collection under the same name"


def test_a_cache_of_teacher_embeddings_is_opened_by_its_own_manifest(made, tmp_path):
    cache = open_cache(Teacher.load(made.root / "big"), tmp_path)
    embed(Teacher.load(made.root / "big"), LINES, cache)
    name, encode = embedded.open_teacher_cache(cache.folder)
    assert name == "big"
    np.testing.assert_allclose(encode(LINES[::-1]), made.teacher(LINES[::-1]), atol=1e-3)  # kept in float16
    with pytest.raises(CacheError, match="1 of 1 texts have no embedding"):
        encode(["never seen"])
    with pytest.raises(CacheError, match=r"no manifest\.json"):
        embedded.open_teacher_cache(tmp_path / "nowhere")


# ---- the page


def test_the_tables_of_the_page_contain_the_values_of_the_result(made, tmp_path):
    (tmp_path / "quality.json").write_text(json.dumps(made.result))
    row = made.rows["tiny", 8]
    less = row["less_teacher"]["STS"]
    cells = f"| tiny | 8 | {row['sts']['average']:.2f} | {row['of_teacher']['STS']:.1f} | {less['low']:+.2f} to "
    assert page.make_table("systems", tmp_path).count(cells) == 1
    values = made.rows["BM25", None]["retrieval"]["collections"]
    cells = f"| BM25 |  |  | {values['alpha']['nDCG@10']:.2f} | {values['beta']['nDCG@10']:.2f} |"
    assert cells in page.make_table("parts", tmp_path)
