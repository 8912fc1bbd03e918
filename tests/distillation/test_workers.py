import threading

import numpy as np
import pytest
import torch
from tiny_training import make_student, make_texts

from hpdsearch.distillation.spec import LossSpec, TrainingSpec
from hpdsearch.distillation.student.student import embed_ids
from hpdsearch.distillation.training.losses import distillation_losses
from hpdsearch.distillation.training.trainer import train
from hpdsearch.distillation.workers import Workers


@pytest.fixture(autouse=True)
def reset_threads():
    yield
    torch.set_num_threads(1)


def test_results_come_in_the_order_of_the_items():
    waits = threading.Barrier(3, timeout=20)

    def square(number: int) -> tuple[int, int]:
        waits.wait()  # only threads that run at the same time pass this barrier
        return number**2, torch.get_num_threads()

    with Workers(3) as workers:
        assert workers.map(square, [5, 3, 4]) == [(25, 1), (9, 1), (16, 1)]


def test_the_caller_uses_one_core_inside_and_all_of_its_cores_afterwards():
    torch.set_num_threads(2)
    with Workers() as workers:
        assert (workers.n_threads, torch.get_num_threads()) == (2, 1)
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), Workers(1) as workers:
        workers.map(lambda number: 1 // number, [0])
    assert torch.get_num_threads() == 2


def test_a_training_gives_equal_bytes_on_any_number_of_cores(tmp_path):
    ends = []
    for n_cores in (1, 2, 3):
        torch.set_num_threads(n_cores)
        student = make_student(tmp_path / "encoder")
        texts, held_out = make_texts(student)
        spec = TrainingSpec(epochs=1, batch_size=48, learning_rate=3e-3, bfloat16=False)
        train(student, texts, held_out, spec, tmp_path / str(n_cores))
        assert len(student.micro_batches(texts.token_ids[:48])) > 1
        ends.append(embed_ids(student, held_out.token_ids, block=9).tobytes())
    assert ends[0] == ends[1] == ends[2]
    assert ends[0] != embed_ids(make_student(tmp_path / "encoder"), held_out.token_ids).tobytes()


def test_gradients_of_micro_batches_add_up_to_those_of_the_batch(tmp_path):
    spec = TrainingSpec(
        epochs=0.01, batch_size=48, learning_rate=1e-2, group_size=1, weight_decay=0, warmup=0, bfloat16=False
    )
    student = make_student(tmp_path / "encoder")
    texts, held_out = make_texts(student)
    order = np.random.default_rng([0, 0]).permutation(len(texts.token_ids))[:48]
    whole = make_student(tmp_path / "encoder")
    for tensor in whole.tensors.values():
        tensor.requires_grad_()
    vectors = whole.embed([texts.token_ids[place] for place in order])
    sum(distillation_losses(vectors, torch.from_numpy(texts.targets[order]), LossSpec()).values()).backward()
    before = {name: tensor.clone() for name, tensor in student.tensors.items()}
    train(student, texts, held_out, spec, tmp_path / "run")
    moved = {name: student.tensors[name] - tensor for name, tensor in before.items()}
    # Adam's first step depends on the sign of the gradient only.
    for name in ("head.weight", "encoder.layer.0.attention.self.query.weight"):
        clear = whole.tensors[name].grad.abs() > 1e-5
        assert clear.any()
        assert (moved[name][clear].sign() == -whole.tensors[name].grad[clear].sign()).all()
