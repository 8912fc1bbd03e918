from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from tiny_encoder import MAX_TOKENS, SPECIAL, WORDS, make_tiny_encoder, make_tiny_static, tiny_table
from tiny_teacher import make_plain_teacher

from hpdsearch.distillation.export.transformer import export_encoder
from hpdsearch.distillation.spec import HeadInit, Precision
from hpdsearch.distillation.student.build import PASSAGE_TOKENS, sample_lengths
from hpdsearch.distillation.student.initial_model import InitialModel, load_initial_model
from hpdsearch.distillation.student.student import (
    BLOCK,
    StaticStudent,
    TransformerStudent,
    fit_head,
    fit_token_table,
    pool_ids,
    tokenize,
)
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder import Encoder
from hpdsearch.encoder.bert import HEAD, TYPE_EMBEDDINGS
from hpdsearch.errors import ShapeError


def make_texts(n: int = 70, longest: int = 18) -> list[str]:
    """Return texts of 1 to `longest` words, one of them empty."""
    rng = np.random.default_rng(5)
    return ["", *(" ".join(rng.choice(WORDS, rng.integers(1, longest + 1))) for _ in range(n - 1))]


@pytest.fixture(scope="module")
def init_model(tmp_path_factory: pytest.TempPathFactory) -> InitialModel:
    return load_initial_model(make_tiny_encoder(tmp_path_factory.mktemp("base") / "tiny"))


def test_a_transformer_student_embeds_as_its_exported_encoder_does(tmp_path: Path) -> None:
    init_model = load_initial_model(make_plain_teacher(tmp_path / "bert", seed=3), max_tokens=MAX_TOKENS)
    head = np.random.default_rng(1).normal(size=(8, init_model.hidden)).astype(np.float32)
    student = TransformerStudent(init_model, {**init_model.tensors, HEAD: head})
    texts = make_texts()
    found = student.embed(tokenize(init_model, texts, max_tokens=MAX_TOKENS)).detach().numpy()
    folder = export_encoder(
        tmp_path / "exported",
        name="x",
        space="sha256:0",
        bert={**init_model.tensors, TYPE_EMBEDDINGS: np.zeros((1, init_model.hidden), dtype=np.float32)},
        head=head,
        n_heads=init_model.n_heads,
        tokenizer=init_model.tokenizer,
        max_tokens=init_model.max_tokens,
        layer_norm_eps=init_model.epsilon,
        precision=Precision.FLOAT32,
    )
    np.testing.assert_allclose(found, Encoder.load(folder).encode(texts), atol=2e-6)


def test_a_student_made_of_an_encoder_folder_embeds_as_the_encoder_does(tiny_folder: Path) -> None:
    init_model = load_initial_model(tiny_folder)
    texts = make_texts()
    found = TransformerStudent(init_model, init_model.tensors).embed(tokenize(init_model, texts, max_tokens=MAX_TOKENS))
    np.testing.assert_allclose(found.numpy(), Encoder.load(tiny_folder).encode(texts), atol=2e-6)


def test_an_embedding_does_not_depend_on_order_or_batch(init_model: InitialModel) -> None:
    student = TransformerStudent(init_model, init_model.tensors)
    ids = tokenize(init_model, make_texts(), max_tokens=MAX_TOKENS)
    together = student.embed(ids)
    order = np.random.default_rng(0).permutation(len(ids))
    np.testing.assert_allclose(student.embed([ids[place] for place in order]), together[order], atol=2e-6)
    np.testing.assert_allclose(torch.cat([student.embed([text]) for text in ids[:8]]), together[:8], atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    heads = torch.nn.functional.normalize(torch.tensor(pool_ids(student, ids, block=9)) @ student.tensors[HEAD].T)
    np.testing.assert_allclose(heads, together, atol=2e-6)


def test_every_tensor_of_a_transformer_student_learns_and_the_initial_model_is_unchanged(
    init_model: InitialModel,
) -> None:
    student = TransformerStudent(init_model, init_model.tensors)
    before = {name: tensor.copy() for name, tensor in init_model.tensors.items()}
    for tensor in student.tensors.values():
        tensor.requires_grad_()
    student.embed([[5, 6, 7], [8]])[:, 0].sum().backward()
    for name, tensor in student.tensors.items():
        assert tensor.grad is not None, name
        # A constant added to all inputs does not change a softmax, so the gradient of the key's bias is zero.
        assert bool(tensor.grad.abs().max() > 1e-7) != name.endswith("key.bias"), name
        with torch.no_grad():
            tensor += 1
    for name, tensor in before.items():
        np.testing.assert_array_equal(init_model.tensors[name], tensor)


def test_a_rotation_keeps_the_cosines_and_undoes_a_rotation() -> None:
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(40, 6)).astype(np.float32) * 3
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    found = fit_head([(pooled, (unit @ turn.T).astype(np.float32))], HeadInit.PROCRUSTES)
    np.testing.assert_allclose(found, turn, atol=1e-5)
    noisy = fit_head([(pooled, rng.normal(size=(40, 6)).astype(np.float32))], HeadInit.PROCRUSTES)
    np.testing.assert_allclose(noisy @ noisy.T, np.eye(6), atol=1e-5)
    turned = unit @ noisy.T
    np.testing.assert_allclose(turned @ turned.T, unit @ unit.T, atol=1e-5)


def test_a_rotation_into_fewer_dimensions_is_the_best_map_with_orthonormal_rows() -> None:
    rng = np.random.default_rng(1)
    pooled, targets = (rng.normal(size=(40, dim)).astype(np.float32) for dim in (6, 4))
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    found = fit_head([(pooled, targets)], HeadInit.PROCRUSTES)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-5)
    reached = (unit @ found.T * targets).sum()
    for _ in range(50):
        near = np.linalg.qr(found.T + 0.1 * rng.normal(size=(6, 4)))[0]
        near *= np.sign((near * found.T).sum(axis=0))
        assert (unit @ near * targets).sum() < reached


def regularized_least_squares(unit: np.ndarray, targets: np.ndarray, prior: np.ndarray, ridge: float) -> np.ndarray:
    """Return numpy's least-squares solution (dim, hidden); one more row per weight regularizes towards the prior."""
    pull = (ridge * len(unit)) ** 0.5
    rows, wanted = np.vstack([unit, pull * np.eye(unit.shape[1])]), np.vstack([targets, pull * prior])
    return np.asarray(np.linalg.lstsq(rows, wanted, rcond=None)[0].T)


@pytest.mark.parametrize("ridge", [0.02, 0.5])
def test_ridge_is_regularized_towards_zero_or_towards_the_rotation(ridge: float) -> None:
    rng = np.random.default_rng(2)
    pooled, wide, square = (rng.normal(size=(30, dim)).astype(np.float32) for dim in (6, 9, 6))
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    expected = regularized_least_squares(unit, wide, np.zeros((6, 9)), ridge)
    np.testing.assert_allclose(fit_head([(pooled, wide)], HeadInit.RIDGE, ridge=ridge), expected, atol=1e-5)
    square /= np.linalg.norm(square, axis=1, keepdims=True)
    rotation, _ = scipy.linalg.orthogonal_procrustes(unit, square)
    mean_cosine = np.mean([row @ rotation @ target for row, target in zip(unit, square, strict=True)])
    expected = regularized_least_squares(unit, square, mean_cosine * rotation, ridge)
    np.testing.assert_allclose(
        fit_head([(pooled, square)], HeadInit.RIDGE_TO_PROCRUSTES, ridge=ridge), expected, atol=1e-5
    )


@pytest.mark.parametrize("head_init", list(HeadInit))
def test_a_head_that_is_fitted_in_blocks_is_that_of_all_texts_together(head_init: HeadInit) -> None:
    rng = np.random.default_rng(4)
    pooled, targets = (rng.normal(size=(31, dim)).astype(np.float32) for dim in (6, 5))
    blocks = [(pooled[:7], targets[:7]), (pooled[7:8], targets[7:8]), (pooled[8:], targets[8:])]
    np.testing.assert_allclose(fit_head(blocks, head_init), fit_head([(pooled, targets)], head_init), atol=1e-6)


def test_half_of_the_texts_that_a_head_is_fitted_to_are_passages_if_there_are_as_many() -> None:
    lengths = np.where(np.arange(100) % 10 == 0, PASSAGE_TOKENS, PASSAGE_TOKENS - 1)  # ten passages
    for n, n_passages in ((10, 5), (20, 10), (50, 10), (95, 10), (100, 10), (1000, 10)):
        positions = sample_lengths(lengths, n)
        assert len(positions) == len(set(positions)) == min(n, 100)
        assert (np.diff(positions) > 0).all()
        assert int((lengths[positions] == PASSAGE_TOKENS).sum()) == n_passages
    assert sample_lengths(lengths, 4).tolist() == [0, 1, 2, 10]
    assert sample_lengths(np.full(9, 200), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("start", [HeadInit.PROCRUSTES, HeadInit.RIDGE_TO_PROCRUSTES])
def test_a_rotation_into_a_space_wider_than_the_student_is_refused(start: HeadInit) -> None:
    with pytest.raises(
        ShapeError, match=r"dim: expected at most 6 \(width of the student\) for a Procrustes map, got 7"
    ):
        fit_head([(np.ones((40, 6), dtype=np.float32), np.ones((40, 7), dtype=np.float32))], start)


def test_a_static_student_embeds_as_its_encoder_and_as_hand_arithmetic(
    init_model: InitialModel, tmp_path: Path
) -> None:
    student = StaticStudent(init_model, tiny_table())
    texts = make_texts()
    ids = tokenize(init_model, texts, max_tokens=100)
    found = student.embed(ids).numpy()
    assert not found[0].any()  # the empty text
    for row, text in zip(found[1:], ids[1:], strict=True):
        mean = np.mean([tiny_table()[token] for token in text], axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    encoder = Encoder.load(make_tiny_static(tmp_path / "static"))
    np.testing.assert_allclose(found[1:], encoder.encode(texts)[1:], atol=1e-6)


def test_a_token_table_embeds_each_token_alone_and_rare_ones_weigh_more(init_model: InitialModel) -> None:
    student = TransformerStudent(init_model, init_model.tensors)
    n_words = init_model.tokenizer.get_vocab_size()
    counts = np.zeros(n_words, dtype=np.int64)
    counts[10], counts[11] = 30, 10
    table = fit_token_table(student, counts=counts, smoothing=0.25)
    weights = np.ones(n_words)
    weights[10], weights[11] = 0.25 / (0.25 + 0.75), 0.25 / (0.25 + 0.25)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), weights, atol=1e-6)
    alone = student.embed([[10], [len(SPECIAL)]]).numpy()
    np.testing.assert_allclose(table[[10, len(SPECIAL)]], alone * weights[[10, len(SPECIAL)], None], atol=1e-6)
    assert table.shape == (n_words, 16)


def test_a_gpu_gets_few_large_micro_batches_of_the_same_texts(init_model: InitialModel) -> None:
    student = TransformerStudent(init_model, init_model.tensors)
    ids = [[5] * (1 + number % 20) for number in range(64)]
    on_cpu = student.micro_batches(ids)
    student.device = "cuda"
    on_gpu = student.micro_batches(ids)
    assert len(on_gpu) <= 3 < len(on_cpu)
    for batches in (on_cpu, on_gpu):
        assert sorted(position for batch in batches for position in batch) == list(range(64))
    with Workers.of_device("cuda") as workers:
        assert workers.n_threads == 1


def test_token_ids_are_truncated_and_contain_no_special_tokens(init_model: InitialModel) -> None:
    found = tokenize(init_model, ["the cat sleeps", "", "dog"], max_tokens=2)
    assert [[init_model.tokenizer.id_to_token(token) for token in ids] for ids in found] == [
        ["the", "cat"],
        [],
        ["dog"],
    ]


def test_millions_of_texts_are_not_tokenized_at_once(init_model: InitialModel) -> None:
    texts = [" ".join(words) for words in permutations(WORDS[7:17], 4)]
    assert len(texts) > BLOCK
    expected = [init_model.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert list(tokenize(init_model, texts, max_tokens=9)) == expected
