"""Test the benchmark of domain adaptation with a complete run on a tiny teacher."""

import gzip
import importlib
import json
import sys

import pytest
from tiny_distillation import make_models, make_texts, run

from hpdsearch import Encoder
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.evaluation import neighbor_agreement

domain_adaptation = importlib.import_module("benchmarks.product.domain_adaptation")


def test_evaluation_texts_are_neither_training_texts_nor_known(tmp_path):
    lines = [f"text {number}" for number in range(50)]
    (tmp_path / "some.domain.txt").write_text("\n".join([*lines, "", lines[0]]) + "\n")
    known = {*lines[10:20]}
    domain = domain_adaptation.sample_domain(tmp_path / "some.domain.txt", known, 30, 10, seed=1)
    assert {*domain.training} | {*domain.evaluation} == {*lines} - known
    assert (len(domain.training), len(domain.evaluation)) == (30, 10)
    assert domain_adaptation.domain_name(domain.path) == "some"
    with pytest.raises(SystemExit, match="expected 41 lines that no training has seen, got 40"):
        domain_adaptation.sample_domain(tmp_path / "some.domain.txt", known, 30, 11, seed=1)


@pytest.mark.slow
def test_both_encoders_are_evaluated_against_the_teacher_on_held_out_texts(tmp_path, monkeypatch):
    models = make_models(tmp_path)
    shipped = run(models, tmp_path / "shipped", make_texts(seed=7), force=True).folder
    texts = make_texts(n=260, seed=1)
    with gzip.open(tmp_path / "words.txt.gz", "wt") as file:
        file.writelines(f"{text}\n" for text in texts)
    words = f"--texts {tmp_path}/words.txt.gz --teacher {models}/teacher --encoder {shipped} --n 200 --n-judging 60"
    monkeypatch.setattr(sys, "argv", ["own_texts.py", *words.split(), "--output", str(tmp_path / "out.json")])
    domain_adaptation.main()
    made = json.loads((tmp_path / "out.json").read_text())
    medians = {item["name"]: item["median"] for item in made["measurements"]}
    evaluation = domain_adaptation.sample_domain(tmp_path / "words.txt.gz", set(), 200, 60, seed=0).evaluation
    wanted = neighbor_agreement(
        Encoder.load(shipped).encode(evaluation), Teacher.load(models / "teacher").encode(evaluation)
    )
    assert medians["words: shipped encoder"] == pytest.approx(100 * wanted, abs=0.01)
    gained = medians["words: own encoder"] - medians["words: shipped encoder"]
    assert medians["words: gained"] == pytest.approx(gained, abs=0.01)
    assert [(target["limit"], target["met"]) for target in made["targets"]] == [(20.0, True), (0.1, gained >= 0.1)]
