import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_encoder import WORDS

from hpdsearch.common.vectors import unit_rows
from hpdsearch.distillation.gates import bm25_neighbors, evaluate_gates
from hpdsearch.distillation.spec import GateSpec
from hpdsearch.errors import ShapeError

N, TEACHER_DIM, DIM = 60, 24, 12
SPEC = GateSpec(k=5, matryoshka_dims=(4, DIM))


@pytest.fixture
def held_out():
    """Return vectors of each stage, each a little worse than the one before, and texts that are unrelated to them."""
    rng = np.random.default_rng(2)
    teacher = unit_rows(rng.normal(size=(N, TEACHER_DIM)) * np.geomspace(4, 0.5, TEACHER_DIM))
    projected = unit_rows(teacher[:, :DIM])
    student = unit_rows(projected + rng.normal(size=projected.shape) * 0.08)
    encoder = unit_rows(student + rng.normal(size=projected.shape) * 0.002)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(N)]
    return {"texts": texts, "teacher": teacher, "projected": projected, "student": student, "encoder": encoder}


def compute_agreements(ours, teacher, k):
    """Return the share of each text's k nearest by the teacher that are among our k nearest."""
    found = []
    for vectors in (ours, teacher):
        units = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
        nearest = [sorted((-(units[i] @ units[j]), j) for j in range(N) if j != i)[:k] for i in range(N)]
        found.append([{row for _, row in pairs} for pairs in nearest])
    return np.array([len(a & b) / k for a, b in zip(*found, strict=True)])


def test_the_agreements_equal_brute_force(held_out):
    report = evaluate_gates(**held_out, spec=SPEC)
    stages = {"projection": "projected", "student": "student", "encoder": "encoder"}
    for name, stage in stages.items():
        for width, key in ((DIM, name), (4, f"{name}, 4")):
            expected = compute_agreements(held_out[stage][:, :width], held_out["teacher"], 5)
            assert report.agreements[key].mean == pytest.approx(expected.mean()), key
    assert set(report.agreements) == {*stages, "bm25", *(f"{name}, 4" for name in stages)}
    found, share = report.agreements["student"], compute_agreements(held_out["student"], held_out["teacher"], 5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * share.std() / np.sqrt(N), rel=0.15)
    expected = np.mean([a @ b for a, b in zip(held_out["encoder"], held_out["projected"], strict=True)])
    assert report.cosine == pytest.approx(expected, abs=1e-6)
    assert report.passed


def test_the_built_in_base_is_a_baseline_on_the_same_texts(held_out):
    worse = held_out["student"][:, :3]
    report = evaluate_gates(**held_out, spec=SPEC, built_in=worse)
    expected = compute_agreements(worse, held_out["teacher"], 5)
    assert report.agreements["built-in base"].mean == pytest.approx(expected.mean())
    assert f"baselines:  built-in base {100 * expected.mean():.1f} (" in report.summary[1]
    assert "built-in base" not in evaluate_gates(**held_out, spec=SPEC).summary[1]


def test_bm25_finds_the_texts_that_share_terms():
    texts = ["gold iron", "gold stone", "gold iron stone", "wind", "winds", "...", "rain gold gold gold"]
    found = [rows.tolist() for rows in bm25_neighbors(texts, 2)]
    assert found[0][0] == 2, "two words in common come before one"
    assert found[3:6] == [[4], [3], []], "by their stem, and only what shares one"
    assert all(row not in rows and len(set(rows)) == len(rows) <= 2 for row, rows in enumerate(found))


def test_if_bm25_agrees_fully_with_the_teacher_the_encoder_fails_its_gate(held_out):
    group = np.arange(N) // 6
    teacher = np.eye(TEACHER_DIM)[group] + np.random.default_rng(0).normal(size=(N, TEACHER_DIM)) * 0.01
    texts = [f"{WORDS[18 + number]} tale" for number in group]  # six texts a word, so five neighbors
    report = evaluate_gates(**held_out | {"texts": texts, "teacher": teacher}, spec=SPEC)
    assert report.agreements["bm25"].mean == 1
    assert not report.passed
    assert any("points above BM25" in line and "another teacher" in line for line in report.summary)


def get_failures(report):
    assert report.passed == (not any(line.startswith("FAILED") for line in report.summary))
    return [line for line in report.summary if line.startswith("FAILED")]


def test_each_gate_fails_for_its_own_fault_and_its_message_says_what_to_change(held_out):
    rng = np.random.default_rng(5)
    assert get_failures(evaluate_gates(**held_out, spec=SPEC)) == []

    worse = unit_rows(held_out["projected"] + rng.normal(size=(N, DIM)) * 0.8)
    (line,) = get_failures(evaluate_gates(**held_out | {"student": worse, "encoder": worse}, spec=SPEC))
    assert "of the projection's agreement, at least 50 required" in line
    assert "more texts, more epochs" in line

    rough = unit_rows(held_out["student"] + rng.normal(size=(N, DIM)) * 0.08)
    (line,) = get_failures(evaluate_gates(**held_out | {"encoder": rough}, spec=SPEC))
    assert "the export costs" in line
    assert "float32" in line

    demanding = replace(SPEC, min_above_bm25=0.9, max_export_loss=1.0)
    (line,) = get_failures(evaluate_gates(**held_out, spec=demanding))
    assert "above BM25, at least 90 required" in line


def test_a_gate_passes_exactly_at_its_threshold(held_out):
    found = evaluate_gates(**held_out, spec=SPEC).agreements
    kept = found["encoder"].mean / found["projection"].mean
    lost = found["student"].mean - found["encoder"].mean
    for slack, n_failed in ((1e-3, 0), (-1e-3, 2)):
        spec = replace(SPEC, min_relative_agreement=kept - slack, max_export_loss=lost + slack)
        assert len(get_failures(evaluate_gates(**held_out, spec=spec))) == n_failed


def test_a_report_of_few_texts_says_so(held_out):
    kept = evaluate_gates(**held_out, spec=SPEC)
    share = kept.agreements["encoder"].mean / kept.agreements["projection"].mean
    (line,) = [
        line
        for line in evaluate_gates(**held_out, spec=replace(SPEC, min_relative_agreement=share - 0.01)).summary
        if "the projection's agreement" in line
    ]
    assert line.startswith("passed")
    assert line.endswith("60 texts are too few to be sure")
    (line,) = [line for line in kept.summary if "the projection's agreement" in line]
    assert "too few" not in line


def test_a_lossy_projection_is_reported_but_fails_no_gate(held_out):
    flat = {name: held_out[name][:, -3:] for name in ("projected", "student", "encoder")}
    spec = replace(SPEC, max_export_loss=1.0, min_relative_agreement=0.3)
    report = evaluate_gates(**held_out | flat, spec=spec)
    assert report.passed
    assert any("a larger --dim" in line and "less than 70 %" in line for line in report.summary)
    assert not any("a larger --dim" in line for line in evaluate_gates(**held_out, spec=SPEC).summary)


def test_the_report_is_json_and_the_same_each_time(held_out):
    report = evaluate_gates(**held_out, spec=SPEC)
    assert evaluate_gates(**held_out, spec=SPEC) == report
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert found["agreement"]["encoder, 4"] == pytest.approx(report.agreements["encoder, 4"].mean, abs=1e-6)
    assert found["interval"]["bm25"][0] <= found["agreement"]["bm25"] <= found["interval"]["bm25"][1]
    assert (found["n_texts"], found["k"], found["passed"], found["summary"]) == (N, 5, True, list(report.summary))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": ["gold"] * (N - 1)}, f"expected those of {N - 1} texts"),
        ({"student": np.ones((N, DIM - 1), np.float32)}, rf"'student': \({N}, {DIM - 1}\)"),
        ({"teacher": np.ones((N + 1, TEACHER_DIM), np.float32)}, rf"teacher \({N + 1}, {TEACHER_DIM}\)"),
    ],
)
def test_vectors_of_other_texts_are_refused(change, message, held_out):
    with pytest.raises(ShapeError, match=message):
        evaluate_gates(**held_out | change, spec=SPEC)


def test_too_few_texts_for_k_neighbors_are_refused(held_out):
    few = {name: part[:5] for name, part in held_out.items()}
    with pytest.raises(ShapeError, match=r"k in 1\.\.4"):
        evaluate_gates(**few, spec=SPEC)
