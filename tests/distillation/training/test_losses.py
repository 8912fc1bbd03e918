import math

import numpy as np
import pytest
import torch

from hpdsearch.distillation.training.losses import LossSpec, distillation_losses

# Hand arithmetic: cosines of the student's texts 0.6, 0, 0.8; of the teacher's 0, 0.6, 0.8.
STUDENT = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
TEACHER = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])


def losses(student: torch.Tensor = STUDENT, teacher: torch.Tensor = TEACHER, **spec: object) -> dict[str, float]:
    weights = {"similarity": 0.0, "prefixes": ()} | spec
    return {k: v.item() for k, v in distillation_losses(student, teacher, LossSpec(**{"place": 0, **weights})).items()}  # type: ignore


def test_place_is_the_mean_squared_distance():
    # Squared distances: 1 + 1, 0.16 + 0.64, 0.64 + 0.16.
    assert losses(place=0.5) == {"place": pytest.approx(0.5 * (2.0 + 0.8 + 0.8) / 3)}


def test_similarity_is_the_mean_squared_error_of_the_pairs():
    # Pairs: 0.6 - 0, 0 - 0.6, 0.8 - 0.8.
    assert losses(similarity=3.0) == {"similarity": pytest.approx(3 * (0.36 + 0.36 + 0) / 3)}


def divergence(p: list[float], q: list[float], temperature: float) -> float:
    """KL(softmax(p) || softmax(q)) of two cosines each: a text's to the two others."""
    first, second = (1 / (1 + math.exp((pair[1] - pair[0]) / temperature)) for pair in (p, q))
    return first * math.log(first / second) + (1 - first) * math.log((1 - first) / (1 - second))


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_ranking_is_the_divergence_from_the_teacher_at_the_temperature(temperature):
    pairs = [([0.0, 0.6], [0.6, 0.0]), ([0.0, 0.8], [0.6, 0.8]), ([0.6, 0.8], [0.0, 0.8])]  # (teacher, student)
    expected = sum(divergence(p, q, temperature) for p, q in pairs) / 3
    assert losses(ranking=2.0, temperature=temperature) == {"ranking": pytest.approx(2 * expected, rel=1e-4)}


def test_prefixes_compare_the_truncated_student_with_the_whole_teacher():
    # Of width 1 the student's texts are 1, 1, 0: cosines 1, 0, 0, off by 1, 0.6, 0.8. 3 and 128 are no prefixes.
    of_one = (1.0 + 0.36 + 0.64) / 3
    student = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    found = losses(student, similarity=1.0, prefixes=(1, 3, 128))
    assert found == {"similarity": pytest.approx((0.24 + of_one) / 2)}
    both = losses(student, ranking=1.0, temperature=1.0, prefixes=(1,))["ranking"]
    pairs = [([0.0, 0.6], [1.0, 0.0]), ([0.0, 0.8], [1.0, 0.0]), ([0.6, 0.8], [0.0, 0.0])]
    truncated = sum(divergence(p, q, 1.0) for p, q in pairs) / 3
    assert both == pytest.approx((losses(ranking=1.0, temperature=1.0)["ranking"] + truncated) / 2, rel=1e-4)


def test_a_student_equal_to_the_teacher_loses_nothing():
    rows = torch.nn.functional.normalize(torch.tensor(np.random.default_rng(0).normal(size=(6, 4)))).requires_grad_()
    terms = distillation_losses(rows, rows.detach(), LossSpec(place=1, similarity=1, ranking=1, prefixes=()))
    assert set(terms) == {"place", "similarity", "ranking"}
    assert [term.item() for term in terms.values()] == pytest.approx([0, 0, 0], abs=1e-12)
    torch.stack(list(terms.values())).sum().backward()
    assert rows.grad is not None
    assert torch.allclose(rows.grad, torch.zeros_like(rows), atol=1e-9)


def test_similarity_and_ranking_do_not_see_a_rotation_but_place_does():
    rng = np.random.default_rng(1)
    rows = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(6, 4))))
    turned = rows @ torch.tensor(np.linalg.qr(rng.normal(size=(4, 4)))[0])
    found = losses(turned, rows, place=1.0, similarity=1.0, ranking=1.0)
    assert found["similarity"] == pytest.approx(0, abs=1e-12)
    assert found["ranking"] == pytest.approx(0, abs=1e-9)
    assert found["place"] > 0.1


def test_a_term_of_weight_zero_is_left_out():
    assert set(losses(place=1.0, ranking=1.0)) == {"place", "ranking"}
    assert set(losses(similarity=1.0, prefixes=(2,))) == {"similarity"}
