import math

import numpy as np
import pytest
import torch

from hpdsearch.distillation.spec import LossSpec
from hpdsearch.distillation.training.losses import distillation_losses

# Hand arithmetic: cosines of the student's texts 0.6, 0, 0.8; of the teacher's 0, 0.6, 0.8.
STUDENT = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
TEACHER = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.8, 0.6, 0.0]])


def losses(student: torch.Tensor = STUDENT, teacher: torch.Tensor = TEACHER, **spec: object) -> dict[str, float]:
    weights = {"similarity_weight": 0.0, "matryoshka_dims": ()} | spec
    return {
        k: v.item() for k, v in distillation_losses(student, teacher, LossSpec(**{"mse_weight": 0, **weights})).items()
    }  # type: ignore


def test_mse_equals_the_mean_squared_distance():
    # Squared distances: 1 + 1, 0.16 + 0.64, 0.64 + 0.16.
    assert losses(mse_weight=0.5) == {"mse": pytest.approx(0.5 * (2.0 + 0.8 + 0.8) / 3)}


def test_similarity_is_the_mean_squared_error_of_the_pairs():
    # Pairs: 0.6 - 0, 0 - 0.6, 0.8 - 0.8.
    assert losses(similarity_weight=3.0) == {"similarity": pytest.approx(3 * (0.36 + 0.36 + 0) / 3)}


def divergence(p: list[float], q: list[float], temperature: float) -> float:
    """Return KL(softmax(p) || softmax(q)) of two cosines each: those of a text to the two others."""
    first, second = (1 / (1 + math.exp((pair[1] - pair[0]) / temperature)) for pair in (p, q))
    return first * math.log(first / second) + (1 - first) * math.log((1 - first) / (1 - second))


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_kl_is_the_divergence_from_the_teacher_at_the_temperature(temperature):
    pairs = [([0.0, 0.6], [0.6, 0.0]), ([0.0, 0.8], [0.6, 0.8]), ([0.6, 0.8], [0.0, 0.8])]  # (teacher, student)
    expected = sum(divergence(p, q, temperature) for p, q in pairs) / 3
    assert losses(kl_weight=2.0, temperature=temperature) == {"kl": pytest.approx(2 * expected, rel=1e-4)}


def test_matryoshka_dims_compare_the_truncated_student_with_the_full_teacher():
    # Of width 1 the student's texts are 1, 1, 0: cosines 1, 0, 0, off by 1, 0.6, 0.8. 3 and 128 do not truncate.
    of_one = (1.0 + 0.36 + 0.64) / 3
    student = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    found = losses(student, similarity_weight=1.0, matryoshka_dims=(1, 3, 128))
    assert found == {"similarity": pytest.approx((0.24 + of_one) / 2)}
    both = losses(student, kl_weight=1.0, temperature=1.0, matryoshka_dims=(1,))["kl"]
    pairs = [([0.0, 0.6], [1.0, 0.0]), ([0.0, 0.8], [1.0, 0.0]), ([0.6, 0.8], [0.0, 0.0])]
    truncated = sum(divergence(p, q, 1.0) for p, q in pairs) / 3
    assert both == pytest.approx((losses(kl_weight=1.0, temperature=1.0)["kl"] + truncated) / 2, rel=1e-4)


def test_a_student_equal_to_the_teacher_has_zero_loss():
    rows = torch.nn.functional.normalize(torch.tensor(np.random.default_rng(0).normal(size=(6, 4)))).requires_grad_()
    terms = distillation_losses(
        rows, rows.detach(), LossSpec(mse_weight=1, similarity_weight=1, kl_weight=1, matryoshka_dims=())
    )
    assert set(terms) == {"mse", "similarity", "kl"}
    assert [term.item() for term in terms.values()] == pytest.approx([0, 0, 0], abs=1e-12)
    torch.stack(list(terms.values())).sum().backward()
    assert rows.grad is not None
    assert torch.allclose(rows.grad, torch.zeros_like(rows), atol=1e-9)


def test_similarity_and_kl_do_not_change_under_a_rotation_but_mse_does():
    rng = np.random.default_rng(1)
    rows = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(6, 4))))
    turned = rows @ torch.tensor(np.linalg.qr(rng.normal(size=(4, 4)))[0])
    found = losses(turned, rows, mse_weight=1.0, similarity_weight=1.0, kl_weight=1.0)
    assert found["similarity"] == pytest.approx(0, abs=1e-12)
    assert found["kl"] == pytest.approx(0, abs=1e-9)
    assert found["mse"] > 0.1


def test_a_term_of_weight_zero_is_not_computed():
    assert set(losses(mse_weight=1.0, kl_weight=1.0)) == {"mse", "kl"}
    assert set(losses(similarity_weight=1.0, matryoshka_dims=(2,))) == {"similarity"}
