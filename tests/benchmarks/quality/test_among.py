"""Quality among many texts: every row agrees with a ranking by hand, with and without the query adapter."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from beir_folder import write_beir
from tiny_encoder import WORDS, make_tiny_encoder
from tiny_teacher import make_tiny_teacher

from hpdsearch import Encoder
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.encoder.query_adapter import QueryAdapter, write_query_adapter
from hpdsearch.evaluation import ndcg_at_k, read_collections

among = importlib.import_module("benchmarks.quality.among")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return folders, collections, haystack and result of one run."""
    root = tmp_path_factory.mktemp("among")
    for name in ("alpha", "beta"):
        write_beir(root / "data" / "retrieval" / name)
    (root / "fill.txt").write_text("".join(f"{one} {other} house\n" for one in WORDS[:12] for other in WORDS[12:24]))
    rng = np.random.default_rng(1)
    adapter = QueryAdapter(rng.normal(size=16).astype(np.float32) / 8, rng.uniform(0.5, 2, 16).astype(np.float32))
    write_query_adapter(make_tiny_encoder(root / "tiny"), adapter)
    teacher = make_tiny_teacher(root / "big")
    words = ["among.py", "--data", root / "data", "--mix", "alpha", "--fill", root / "fill.txt", "--n", 20, 100]
    words += ["--encoders", root / "tiny", "--teacher", teacher, "--dims", 16, 8, "--cache", root / "vectors"]
    words += ["-o", root / "among.json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(map(str, words)))
        patch.setattr(among, "GOALS", {("tiny", 8): 101.0})
        among.main()
    return SimpleNamespace(root=root, result=json.loads((root / "among.json").read_text()))


def haystack(root: Path, n: int) -> tuple[list[str], list[str]]:
    """Return ids and texts of the first n documents."""
    (alpha, _) = read_collections(root / "data" / "retrieval")
    mix = among.mix_corpus([alpha], [root / "fill.txt"], 100)
    return list(mix.documents)[:n], list(mix.documents.values())[:n]


def test_rows_are_the_dense_systems_with_and_without_adapter(made):
    assert [(row["what"], row["system"], row["dim"]) for row in made.result["systems"]] == [
        ("teacher", "big", 32),
        ("encoder", "tiny", 16),
        ("encoder", "tiny without query adapter", 16),
        ("encoder", "tiny", 8),
        ("encoder", "tiny without query adapter", 8),
    ]


@pytest.mark.parametrize("n", [20, 100])
def test_scores_are_those_of_a_ranking_by_hand(made, n):
    (alpha, _) = read_collections(made.root / "data" / "retrieval")
    doc_ids, texts = haystack(made.root, n)
    teacher = Teacher.load(made.root / "big").encode
    encode = {"big": (teacher, teacher)}
    for dim in (16, 8):
        encoder = Encoder.load(made.root / "tiny", dim=dim)
        encode[f"tiny {dim}"] = encoder.encode_queries, encoder.encode
        encode[f"tiny without query adapter {dim}"] = encoder.encode, encoder.encode
    for row in made.result["systems"]:
        of_queries, of_documents = encode.get(row["system"]) or encode[f"{row['system']} {row['dim']}"]
        documents = of_documents(texts)
        values = []
        for query_id, query in alpha.queries.items():
            cosines = documents @ of_queries([query])[0]
            hits = [doc_ids[at].removeprefix("alpha/") for at in np.argsort(-cosines.round(6), kind="stable")]
            values.append(100 * ndcg_at_k(hits, alpha.qrels[query_id]))
        found = row["documents"][str(n)]
        assert found["nDCG@10"] == pytest.approx(np.mean(values), abs=1e-3)
        assert found["collections"] == {"alpha": found["nDCG@10"]}


def test_a_goal_is_a_percentage_of_the_teacher_among_the_most_documents(made):
    rows = {(row["system"], row["dim"]): row["documents"]["100"]["nDCG@10"] for row in made.result["systems"]}
    (target,) = made.result["targets"]
    assert target["name"] == "tiny, 8: nDCG@10 among 100"
    assert target["measured"] == pytest.approx(100 * rows["tiny", 8] / rows["big", 32], rel=1e-4)
    assert not target["met"]


def test_kept_rows_stay_beside_those_of_an_encoder_that_is_measured_again(made, tmp_path, monkeypatch):
    root = made.root
    output = tmp_path / "among.json"
    earlier = json.loads(json.dumps(made.result))
    asked = {"what": "asymmetric", "system": "tiny asks big projected", "dim": 16}
    other = {"what": "encoder", "system": "tiny-other", "dim": 16}
    scores = earlier["systems"][1]["documents"]
    earlier["systems"] += [row | {"documents": scores} for row in (asked, other)]
    output.write_text(json.dumps(earlier))
    words = ["among.py", "--data", root / "data", "--mix", "alpha", "--fill", root / "fill.txt", "--n", 20, 100]
    words += ["--encoders", root / "tiny", "--dims", 16, "--cache", root / "vectors", "-o", output, "--keep"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    monkeypatch.setattr(among, "GOALS", {("tiny", 16): 101.0})
    among.main()
    result = json.loads(output.read_text())
    assert [(row["system"], row["dim"]) for row in result["systems"]] == [
        ("big", 32),
        ("tiny", 16),
        ("tiny without query adapter", 16),
        ("tiny-other", 16),
    ]
    assert result["systems"][:3] == made.result["systems"][:3]
    assert result["targets"][0]["name"] == "tiny, 16: nDCG@10 among 100"
    (kept,) = result["settings"]["kept"]
    assert kept["date"] == made.result["date"]
    assert (kept["encoders"], kept["systems"]) == ([], ["big", "tiny-other"])
    among.main()  # once more: nothing is left that only the second run had measured
    again = json.loads(output.read_text())
    assert again["systems"] == result["systems"]
    assert again["settings"]["kept"] == [kept]


@pytest.mark.parametrize(
    ("options", "expected"), [(["20"], "other n than"), (["20", "100", "--mix", "beta"], "other texts")]
)
def test_rows_of_other_texts_are_not_kept(made, tmp_path, monkeypatch, options, expected):
    output = tmp_path / "among.json"
    output.write_text(json.dumps(made.result))
    words = ["among.py", "--data", made.root / "data", "--mix", "alpha", "--fill", made.root / "fill.txt", "--keep"]
    words += ["--encoders", made.root / "tiny", "--cache", made.root / "vectors", "-o", output, "--n", *options]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit, match=expected):
        among.main()
    assert json.loads(output.read_text()) == made.result


def test_there_must_be_rows_to_keep(made, tmp_path, monkeypatch):
    words = ["among.py", "--data", made.root / "data", "--mix", "alpha", "--fill", made.root / "fill.txt", "--keep"]
    words += ["--encoders", made.root / "tiny", "-o", tmp_path / "none.json", "--n", 20]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit, match="there is none"):
        among.main()
