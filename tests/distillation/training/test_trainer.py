import csv
import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import make_tiny_encoder
from tiny_training import SPEC, make_student, make_texts, run

from hpdsearch.common.progress import Bar, Progress
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.data.texts import TrainingSet
from hpdsearch.distillation.spec import LossSpec
from hpdsearch.distillation.student.student import StaticStudent, Student
from hpdsearch.distillation.training.batches import group_near_texts
from hpdsearch.distillation.training.schedule import learning_rate_factor
from hpdsearch.distillation.training.trainer import CHECKPOINT, LOG, _Trainer, train
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.bert import HEAD, WORD_EMBEDDINGS
from hpdsearch.errors import DistillError
from hpdsearch.evaluation import neighbor_agreement

pytestmark = pytest.mark.slow

N_STEPS = 30  # 2.5 epochs of 200 // 16 batches
KILLS = 4


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def uninterrupted(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Student, float, Path]:
    """Return student, agreement and folder of an uninterrupted training without intermediate checkpoints."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return *run(encoder, folder, checkpoint_minutes=60), folder


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG).open(newline="") as file:
        return list(csv.DictReader(file))


def compute_agreement(student: Student, texts: TrainingSet) -> float:
    return neighbor_agreement(student.embed(texts.token_ids).detach().numpy(), texts.targets)


def are_equal(one: Student, other: Student) -> bool:
    """Tell whether two students are equal to the last bit."""
    assert one.tensors.keys() == other.tensors.keys()
    return all(
        tensor.numpy().tobytes() == other.tensors[name].numpy().tobytes() for name, tensor in one.tensors.items()
    )


def assert_equal_training(
    found: tuple[Student, float], folder: Path, uninterrupted: tuple[Student, float, Path]
) -> None:
    student, best, other = uninterrupted
    assert found[1] == best
    assert are_equal(found[0], student)
    assert (folder / LOG).read_bytes() == (other / LOG).read_bytes()


def test_training_moves_the_student_nearer_to_the_teacher(encoder, uninterrupted):
    student, best, folder = uninterrupted
    texts, held_out = make_texts(student)
    before = make_student(encoder)
    assert best > compute_agreement(before, held_out) + 0.15
    assert compute_agreement(student, texts) > compute_agreement(before, texts) + 0.1
    rows = read_log(folder)
    assert float(rows[-1]["similarity"]) < 0.5 * float(rows[1]["similarity"])
    assert float(rows[0]["agreement"]) == pytest.approx(compute_agreement(before, held_out), abs=1e-6)


def test_the_log_has_all_columns_and_the_loss(uninterrupted):
    rows = read_log(uninterrupted[2])
    assert list(rows[0]) == ["step", "agreement", "loss", "rate", "mse", "similarity"]
    assert [int(row["step"]) for row in rows] == list(range(N_STEPS + 1))
    assert rows[0]["loss"] == rows[0]["similarity"] == ""
    losses = [float(row["mse"]) + float(row["similarity"]) for row in rows[1:]]
    for number, row in enumerate(rows[1:], start=1):
        assert float(row["loss"]) == pytest.approx(np.mean(losses[:number]), rel=1e-4)
        rate = SPEC.learning_rate * learning_rate_factor(number - 1, N_STEPS, warmup=SPEC.warmup)
        assert float(row["rate"]) == rate


def test_the_best_checkpoint_is_restored_not_the_last(encoder, tmp_path):
    spec = replace(
        SPEC, learning_rate=0.04, epochs=1.5, loss=LossSpec(mse_weight=1.0)
    )  # the learning rate is too high, so later checkpoints are worse
    student, best = run(encoder, tmp_path, spec)
    _, held_out = make_texts(student)
    measured = [float(row["agreement"]) for row in read_log(tmp_path)]
    assert best == pytest.approx(max(measured), abs=1e-6)
    assert measured[-1] < max(measured)
    assert compute_agreement(student, held_out) == best
    assert not any(tensor.requires_grad for tensor in student.tensors.values())


def test_equal_seeds_give_equal_bits_and_other_seeds_other_bits(encoder, tmp_path, uninterrupted):
    assert_equal_training(run(encoder, tmp_path / "again", checkpoint_minutes=60), tmp_path / "again", uninterrupted)
    other, _ = run(encoder, tmp_path / "other", replace(SPEC, seed=1), checkpoint_minutes=60)
    assert not are_equal(other, uninterrupted[0])


def test_word_embeddings_are_trained_only_if_the_spec_says_so(encoder, tmp_path, uninterrupted):
    words = make_student(encoder).tensors[WORD_EMBEDDINGS]
    assert torch.equal(uninterrupted[0].tensors[WORD_EMBEDDINGS], words)
    moved, _ = run(encoder, tmp_path, replace(SPEC, train_word_embeddings=True, epochs=1))
    assert not torch.equal(moved.tensors[WORD_EMBEDDINGS], words)


def test_the_word_embeddings_have_a_learning_rate_of_their_own(encoder, tmp_path):
    words = make_student(encoder).tensors[WORD_EMBEDDINGS]
    spec = replace(SPEC, train_word_embeddings=True, epochs=0.01, weight_decay=0.0)  # one step
    moves = []
    for share in (0.0, 0.25, 1.0):
        run(encoder, tmp_path / f"{share}", replace(spec, word_embedding_rate=share))
        trainer_state = read_checkpoint(tmp_path / f"{share}" / CHECKPOINT)[0]
        moves.append(float((trainer_state[WORD_EMBEDDINGS] - words).abs().max()))
    assert moves[0] == 0
    assert moves[1] == pytest.approx(moves[2] / 4, rel=1e-3)


def test_the_averages_are_those_of_all_steps(encoder, tmp_path):
    student = make_student(encoder)
    with Workers() as workers:
        trainer = _Trainer(student, *make_texts(student), replace(SPEC, ema_decay=0.8), tmp_path, workers)
        expected = {name: tensor.detach().double().numpy().copy() for name, tensor in trainer.trained.items()}
        for step in range(1, 13):
            trainer.step()
            decay = min(0.8, (1 + step) / (10 + step))
            for name, tensor in trainer.trained.items():
                expected[name] += (1 - decay) * (tensor.detach().double().numpy() - expected[name])
    for name, tensor in trainer.trained.items():
        np.testing.assert_allclose(trainer.averages[name].numpy(), expected[name], atol=1e-6)
        assert not torch.equal(trainer.averages[name], tensor)


def test_the_averages_are_measured_and_restored_and_an_interrupted_training_keeps_them(encoder, tmp_path):
    spec = replace(SPEC, ema_decay=0.9)
    student, best = run(encoder, tmp_path / "once", spec, checkpoint_minutes=60)
    assert compute_agreement(student, make_texts(student)[1]) == best
    with pytest.raises(KeyboardInterrupt):
        run(encoder, tmp_path / "again", spec, progress=Interrupting(17 * SPEC.batch_size))
    again = run(encoder, tmp_path / "again", spec)
    assert_equal_training(again, tmp_path / "again", (student, best, tmp_path / "once"))


def test_a_training_by_time_ends_in_time_and_goes_on_after_an_interruption(encoder, tmp_path):
    spec = replace(SPEC, minutes=0.05, n_measurements=4)
    with pytest.raises(KeyboardInterrupt):
        run(encoder, tmp_path, spec, progress=Interrupting(5 * SPEC.batch_size))
    before = time.monotonic()
    student, best = run(encoder, tmp_path, spec)
    assert time.monotonic() - before < 20  # 3 seconds, on a busy machine
    state = read_checkpoint(tmp_path / CHECKPOINT)[1]
    assert state["ended"]
    assert state["seconds"] > 2.5
    rows = read_log(tmp_path)
    assert int(rows[-1]["step"]) == state["step"] > N_STEPS / 2.5  # more than an epoch
    assert float(rows[-1]["rate"]) < 0.25 * SPEC.learning_rate
    assert compute_agreement(student, make_texts(student)[1]) == best
    written = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    run(encoder, tmp_path, spec)
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == written


def test_gradients_are_clipped_to_max_norm(encoder, tmp_path):
    # Gradients clipped to far below AdamW's epsilon (1e-8) move no weight.
    run(encoder, tmp_path, replace(SPEC, max_norm=1e-20, weight_decay=0.0, epochs=1))
    assert len({row["agreement"] for row in read_log(tmp_path)}) == 1


def test_a_static_student_is_trained_too(encoder, tmp_path):
    base = make_student(encoder).init_model
    texts, held_out = make_texts(make_student(encoder))
    table = np.random.default_rng(9).normal(size=(base.tokenizer.get_vocab_size(), 16)).astype(np.float32)
    student = StaticStudent(base, table)
    before = compute_agreement(student, held_out)
    best = train(student, texts, held_out, replace(SPEC, learning_rate=0.05, epochs=4), tmp_path)
    assert best == compute_agreement(student, held_out) > before + 0.2


class Interrupting(Progress):
    """A progress that raises KeyboardInterrupt after so many texts."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def phase(self, name: str, *, total: int | None, unit: str) -> Bar:
        bar = super().phase(name, total=total, unit=unit)
        update = bar.update

        def count(n: float) -> None:
            update(n)
            self.left -= int(n)
            if self.left <= 0:
                raise KeyboardInterrupt

        bar.update = count  # type: ignore[method-assign, assignment]
        return bar


def test_an_interrupted_training_resumes_to_the_same_result(encoder, tmp_path, uninterrupted):
    for after in (1, 5, 14, 29):  # steps of all runs; the unfinished step is lost
        with pytest.raises(KeyboardInterrupt):
            run(encoder, tmp_path, progress=Interrupting(after * SPEC.batch_size))
    student, best = run(encoder, tmp_path)
    assert_equal_training((student, best), tmp_path, uninterrupted)
    written = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    assert_equal_training(run(encoder, tmp_path), tmp_path, uninterrupted)  # the training is complete
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == written


def test_a_training_killed_at_random_moments_resumes_to_the_same_result(encoder, tmp_path, uninterrupted):
    child = subprocess.run(
        [sys.executable, tiny_training.__file__, encoder, tmp_path / "killed", str(KILLS)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    ends = [line.split() for line in child.stdout.splitlines()]
    assert [status for status, _ in ends] == ["-9"] * KILLS + ["0"]
    assert ["-9", "True"] in ends
    assert_equal_training(run(encoder, tmp_path / "killed"), tmp_path / "killed", uninterrupted)


def test_a_resumed_training_keeps_the_precision_of_its_checkpoint(encoder, tmp_path, uninterrupted):
    with pytest.raises(KeyboardInterrupt):
        run(encoder, tmp_path, progress=Interrupting(3 * SPEC.batch_size))
    tensors, state = read_checkpoint(tmp_path / CHECKPOINT)
    other = not state["bfloat16"]
    write_checkpoint(
        tmp_path / CHECKPOINT, tensors, state | {"bfloat16": other}
    )  # another precision, as a measurement under other load would choose
    student, _ = run(encoder, tmp_path)
    assert read_checkpoint(tmp_path / CHECKPOINT)[1]["bfloat16"] is other
    assert not are_equal(student, uninterrupted[0])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_after_a_damaged_checkpoint_the_training_starts_again(encoder, tmp_path, uninterrupted, damage):
    with pytest.raises(KeyboardInterrupt):
        run(encoder, tmp_path, progress=Interrupting(9 * SPEC.batch_size))
    content = bytearray((tmp_path / CHECKPOINT).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1  # changes the last bits of a weight, which safetensors would not detect
    (tmp_path / CHECKPOINT).write_bytes(content[: {"truncated": 1000, "empty": 0}.get(damage)])
    assert_equal_training(run(encoder, tmp_path, checkpoint_minutes=60), tmp_path, uninterrupted)


def test_a_checkpoint_of_another_training_is_refused(encoder, tmp_path, uninterrupted):
    run(encoder, tmp_path, replace(SPEC, epochs=0.2))
    with pytest.raises(
        DistillError, match=r"expected the checkpoint of a training with these settings.*remove the folder"
    ):
        run(encoder, tmp_path, SPEC)
    student = make_student(encoder)
    texts, held_out = make_texts(student)
    with pytest.raises(DistillError, match="got one of another training"):
        train(student, held_out, texts, replace(SPEC, epochs=0.2), tmp_path)


def test_divergence_ends_the_training_with_advice(encoder, tmp_path):
    with pytest.raises(
        DistillError, match=r"step \d+ of 30: the training diverged: .*lower --learning-rate \(now 1000"
    ):
        run(encoder, tmp_path / "fast", replace(SPEC, learning_rate=1e3))
    student = make_student(encoder)
    texts, held_out = make_texts(student)
    broken = TrainingSet(texts.token_ids, np.full_like(texts.targets, np.nan))
    with pytest.raises(DistillError, match=r"step 1 of 30: the training diverged: the loss is nan"):
        train(student, broken, held_out, replace(SPEC, group_size=1), tmp_path / "nan")


def test_a_student_that_loses_its_agreement_has_diverged_even_if_the_loss_is_finite(encoder, tmp_path):
    student = make_student(encoder)
    texts, held_out = (
        TrainingSet(part.token_ids, student.embed(part.token_ids).numpy()) for part in make_texts(student)
    )  # the student is its own teacher
    with pytest.raises(
        DistillError, match=r"step \d+ of 30: .* agreement fell from 1 to 0\.\d+; lower --learning-rate"
    ):
        train(student, texts, held_out, replace(SPEC, learning_rate=0.5), tmp_path)


def test_fewer_texts_than_a_batch_are_refused(encoder, tmp_path):
    with pytest.raises(DistillError, match=r"texts: expected at least 201 \(a batch\) to train on, got 200"):
        run(encoder, tmp_path, replace(SPEC, batch_size=201))


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_a_twentieth():
    shares = [learning_rate_factor(step, 200, warmup=0.1) for step in range(200)]
    assert shares[0] == pytest.approx(1 / 20)
    assert np.argmax(shares) == 19
    assert (np.diff(shares[:20]) > 0).all()
    assert (np.diff(shares[19:]) < 0).all()
    assert shares[-1] == pytest.approx(0.05, abs=0.005)
    assert learning_rate_factor(0, 1, warmup=0.0) == 1


def targets_on_a_sphere(n: int, dim: int = 6) -> np.ndarray:
    rows = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(1, 90), st.integers(1, 20), st.integers(0, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_groups_is_a_permutation(n, group_size, seed, equal):
    targets = np.ones((n, 2), dtype=np.float32) if equal else targets_on_a_sphere(n)
    order = group_near_texts(targets, group_size, np.random.default_rng(seed))
    assert sorted(order) == list(range(n))


def test_texts_of_one_group_are_nearer_than_random_ones():
    targets = targets_on_a_sphere(512)

    def compute_nearness(group_size: int, seed: int) -> float:
        order = group_near_texts(targets, group_size, np.random.default_rng(seed))
        groups = targets[order].reshape(-1, 8, targets.shape[1])
        return float(np.mean(groups @ groups.transpose(0, 2, 1)))  # of pairs, a text with itself included

    assert compute_nearness(1, 0) == pytest.approx(1 / 8, abs=0.03)
    assert compute_nearness(8, 0) > 0.5
    orders = [group_near_texts(targets, 8, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (orders[0] == orders[1]).all()
    pairs = [{frozenset(order[place : place + 2]) for place in range(0, 512, 2)} for order in orders]
    assert len(pairs[0] & pairs[2]) < 64  # another seed makes other groups


def test_groups_of_memory_mapped_targets_are_made_part_by_part(tmp_path):
    targets = targets_on_a_sphere(512).astype(np.float16)
    targets.tofile(tmp_path / "targets.f16")
    mapped = np.memmap(tmp_path / "targets.f16", dtype=np.float16, mode="r", shape=targets.shape)
    order = group_near_texts(mapped, 8, np.random.default_rng(0), part_size=200)
    assert sorted(order) == list(range(512))
    assert (order == group_near_texts(targets.astype(np.float32), 8, np.random.default_rng(0), part_size=200)).all()
    wide = targets.astype(np.float32)
    cosines = np.mean([wide[one] @ wide[other] for one, other in pairwise(order)])
    assert cosines > 0.3


def list_trained(encoder: Path, folder: Path, **changes: object) -> set[str]:
    """Train a step or two; return the names of the tensors whose last values differ from the initial ones."""
    student, _ = run(encoder, folder, replace(SPEC, epochs=0.2, **changes))
    before = make_student(encoder).tensors
    last, _ = read_checkpoint(folder / CHECKPOINT)
    assert all(name in last or torch.equal(tensor, before[name]) for name, tensor in student.tensors.items())
    return {name for name in before if name in last and not torch.equal(last[name], before[name])}


def test_only_the_last_layers_and_the_head_are_trained(encoder, tmp_path):
    assert list_trained(encoder, tmp_path / "head", n_trained_layers=0) == {HEAD}
    last = list_trained(encoder, tmp_path / "last", n_trained_layers=1)
    assert {name.removeprefix("encoder.").split(".")[1] for name in last - {HEAD}} == {"1"}
    assert HEAD in last
    every = list_trained(encoder, tmp_path / "all", n_trained_layers=9)
    assert every >= last
    assert any(name.startswith("encoder.layer.0.") for name in every)


def test_the_word_embeddings_are_trained_beside_the_last_layers_if_wanted(encoder, tmp_path):
    trained = list_trained(encoder, tmp_path, n_trained_layers=0, train_word_embeddings=True)
    assert trained == {HEAD, WORD_EMBEDDINGS}
