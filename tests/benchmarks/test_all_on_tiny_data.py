"""Run all benchmarks on tiny data, and check each metric by hand and with a second library, and the report."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytrec_eval
from scipy.stats import spearmanr
from tiny_encoder import WORDS, make_tiny_encoder

from hpdsearch.encoder import Encoder

pytestmark = pytest.mark.slow

NAMES = importlib.import_module("benchmarks.__main__").NAMES
scripts = {name: importlib.import_module(f"benchmarks.{module}") for name, module in NAMES.items()}
retrieval_models = importlib.import_module("benchmarks.retrieval.models")
write_report = importlib.import_module("benchmarks.report.write")

PAIRS = [(5.0, "a cat runs", "the cat runs"), (2.5, "the king of war", "the queen of peace"), (0.0, "rain", "a ship")]
DOCUMENTS = {"both": "the cat and dog", "cat": "a cat of stone", "none": "snow"}
QUERIES = {"q1": "cat and dog", "q2": "snow"}
QRELS = {"q1": {"cat": 2, "both": 1}, "q2": {"none": 1}}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Run every benchmark with one tiny encoder, and return the results and the report."""
    root = tmp_path_factory.mktemp("harness")
    data, results = root / "data", root / "results"
    write_data(data)
    tiny = make_tiny_encoder(root / "tiny")
    cache, work = ["--cache", root / "cache"], ["--work", root / "work"]
    mixed = ["--data", data, "--mix", "pets", "--fill", data / "fill.txt", "--n", 5000, "--repeats", 1]
    few = ["--seconds", 0.05, "--singles", 2, "--repeats", 1, "--threads", 1]
    options = {
        "quality": ["--data", data, "--encoders", tiny, "--dims", 16, 8, *cache],
        "encoding": ["--quick", "--encoders", tiny, *few],
        "retrieval": [
            "--quick",
            *mixed,
            "--dims",
            8,
            16,
            "--encoder",
            tiny,
            "--others",
            "--query-encoder",
            tiny,
            *cache,
            *work,
        ],
        "engines": [*mixed, "--engines", "hpdsearch", "--encoders", tiny, "--n-queries", 2, "--work", root / "engines"],
        "pareto": ["--results", results],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval_models, "ALL", ("flat f32", "flat pq", "ivf pq"))
        patch.setattr(retrieval_models, "CHOSEN", ("flat pq",))
        patch.setattr(retrieval_models.Models, "back_projected", property(lambda self: back_project(self.vectors)))
        for name, words in options.items():
            words += ["--output", results / f"{name}.json"]
            patch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
            scripts[name].main()
    found = {name: json.loads((results / f"{name}.json").read_text()) for name in NAMES}
    page = write_report.write_report(results, results / "REPORT.md").read_text()
    return SimpleNamespace(root=root, results=results, page=page, encoder=Encoder.load(tiny), **found)


def back_project(vectors):
    """Back-project vectors of the tiny space to a larger width."""
    vectors_module = importlib.import_module("benchmarks.retrieval.vectors")
    components = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0][:16].astype(np.float32)
    return vectors_module.BackProjectedTexts(vectors, components, "big")


def write_data(data: Path) -> None:
    (data / "sts" / "pairs").mkdir(parents=True)
    lines = [f"{score}\t{one}\t{other}\n" for score, one, other in PAIRS]
    (data / "sts" / "pairs" / "test.tsv").write_text("".join(lines))
    folder = data / "retrieval" / "pets"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", DOCUMENTS), ("queries", QUERIES)):
        records = [json.dumps({"_id": key, "title": "", "text": text}) + "\n" for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("".join(records))
    judged = [f"{q}\t{doc}\t{grade}\n" for q, grades in QRELS.items() for doc, grade in grades.items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    plain = sorted(set(WORDS) - {"cat", "dog", "snow", "and", "stone", "a", "of", "the"})
    rng = np.random.default_rng(0)
    fill = {" ".join(rng.choice(plain, 6)) for _ in range(5400)}
    (data / "fill.txt").write_text("\n".join(sorted(fill)))


def row(made, name, dim):
    return next(one for one in made.quality["systems"] if (one["system"], one["dim"]) == (name, dim))


def by_hand() -> float:
    """Return nDCG@10: BM25 ranks "both" (two terms of q1) before "cat" (one term), and finds "none" for q2."""
    discount = 1 / math.log2(3)
    return 100 * ((1 + 2 * discount) / (2 + discount) + 1) / 2


def test_bm25_has_the_scores_of_hand_arithmetic(made):
    means = row(made, "BM25", None)["retrieval"]["means"]
    assert means["nDCG@10"] == pytest.approx(by_hand(), abs=1e-3)
    assert means["recall@100"] == means["MRR@10"] == 100
    among_many = next(one for one in made.retrieval["measurements"] if one["name"] == "5,000: BM25: nDCG@10")
    assert among_many["median"] == pytest.approx(by_hand(), abs=1e-3)


def test_vectors_have_the_scores_of_a_second_library(made):
    for dim in (16, 8):
        encode = made.encoder.truncate(dim).encode
        scores = encode(list(QUERIES.values())) @ encode(list(DOCUMENTS.values())).T
        run = {q: dict(zip(DOCUMENTS, map(float, line), strict=True)) for q, line in zip(QUERIES, scores, strict=True)}
        found = pytrec_eval.RelevanceEvaluator(QRELS, {"ndcg_cut.10", "recall.100", "recip_rank"}).evaluate(run)
        means = row(made, "tiny", dim)["retrieval"]["means"]
        for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("recall@100", "recall_100"), ("MRR@10", "recip_rank")):
            assert means[ours] == pytest.approx(100 * np.mean([one[theirs] for one in found.values()]), abs=1e-3)


def test_sts_is_the_rank_correlation_of_a_second_library(made):
    encode = made.encoder.encode
    cosines = [float(encode([one])[0] @ encode([other])[0]) for _, one, other in PAIRS]
    wanted = 100 * spearmanr(cosines, [score for score, _, _ in PAIRS]).statistic
    assert row(made, "tiny", 16)["sts"]["average"] == pytest.approx(wanted, abs=1e-3)


def test_an_exact_index_agrees_with_brute_force(made):
    rows = {one["name"]: one["median"] for one in made.retrieval["measurements"]}
    assert rows["5,000: tiny, 8, flat f32: ann_recall@10"] == 1
    data = json.loads((made.root / "engines" / "queries.json").read_text())
    lines = (made.root / "engines" / "corpus.jsonl").read_text().splitlines()
    documents = {record["id"]: record["text"] for record in map(json.loads, lines)}
    encode = made.encoder.encode
    scores = encode(list(data["queries"].values())) @ encode(list(documents.values())).T
    names = np.array(list(documents))
    run = {
        query_id: {str(names[place]): float(line[place]) for place in np.argsort(-line)[:10]}
        for query_id, line in zip(data["queries"], scores, strict=True)
    }
    found = pytrec_eval.RelevanceEvaluator(data["qrels"], {"ndcg_cut.10"}).evaluate(run)
    wanted = 100 * np.mean([one["ndcg_cut_10"] for one in found.values()])
    whole = {one["name"]: one["median"] for one in made.engines["measurements"]}
    assert whole["hpdsearch, tiny, dense alone: nDCG@10"] == pytest.approx(wanted, abs=1e-3)


def test_rates_and_times_are_measured(made):
    found = {(one["system"], one["what"]): one for one in made.encoding["measurements"] if "system" in one}
    assert found["tiny", "short texts"]["median"] > 0
    assert found["tiny", "single text"]["unit"] == "ms"


def test_pareto_and_report_contain_every_system(made):
    systems = {one["system"] for one in made.pareto["points"]}
    assert systems >= {"tiny, 8, flat f32", "tiny, 16, flat pq", "tiny, 8, ivf pq", "BM25"}
    for heading in ("## Summary", "## Where hpdsearch loses", "## Quality", "### 5,000 documents", "## Programs"):
        assert heading in made.page
    assert "| tiny | 8 | ivf pq |" in made.page
    assert "| hpdsearch, tiny |" in made.page
    assert (made.results / "pareto.svg").exists()
