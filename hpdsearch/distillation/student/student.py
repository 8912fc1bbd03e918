"""The students: a Transformer with a linear head, or a table of token vectors.

A student is a dictionary of float32 tensors and the map from token ids to unit vectors. trainer.py updates the tensors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.data.texts import Ids
from hpdsearch.distillation.data.token_ids import TokenIds
from hpdsearch.distillation.spec import HeadInit
from hpdsearch.distillation.student.initial_model import InitialModel
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.batches import length_ratio_batches
from hpdsearch.encoder.bert import HEAD, N_SPECIAL_TOKENS, count_layers
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.encoder.torch_backend import TorchBert
from hpdsearch.errors import ShapeError

# Of a micro-batch, on the CPU and on a GPU, which computes padding faster than it starts another micro-batch.
TOKEN_BUDGET, GPU_TOKEN_BUDGET = 1200, 65_536  # tokens, padding included
LENGTH_RATIO, GPU_LENGTH_RATIO = 1.25, 4.0  # of the longest and the shortest text
BLOCK = 4096  # texts tokenized at once


class Student(Protocol):
    """The part of a student that training and export use.

    Attributes:
        tensors: float32, by name. Training changes them in place.
        init_model: it provides tokenizer, window and name.
        device: of torch; the tensors are there.
    """

    tensors: dict[str, Tensor]
    init_model: InitialModel
    device: str

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim) of token ids without special tokens, one window per text."""

    def micro_batches(self, ids: Ids) -> list[list[int]]:
        """Return the positions of a batch's texts in micro-batches that are embedded one by one, largest first."""


class TransformerStudent:
    """A BERT-like Transformer, mean pooling, and a linear head."""

    def __init__(self, init_model: InitialModel, tensors: dict[str, Matrix], *, device: str = "cpu") -> None:
        """Copy tensors under the names of an encoder's model.safetensors, with or without a head, to the device."""
        self.init_model = init_model
        self.device = device
        self.tensors = {name: torch.tensor(tensor, device=device) for name, tensor in tensors.items()}
        self._bert = TorchBert(
            self.tensors,
            n_layers=count_layers(tensors),
            n_heads=init_model.n_heads,
            epsilon=init_model.epsilon,
        )
        self.cls_id, self.sep_id = init_model.tokenizer.encode("").ids

    def set_head(self, head: Matrix) -> None:
        """Replace the head by another (dim, hidden)."""
        self.tensors[HEAD] = torch.tensor(head, device=self.device)

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim)."""
        return functional.normalize(functional.linear(self.pool(ids), self.tensors[HEAD]))

    def micro_batches(self, ids: Ids) -> list[list[int]]:
        """Return batches of texts of similar length, which are padded to one length."""
        lengths = [len(of_text) + N_SPECIAL_TOKENS for of_text in ids]
        on_cpu = self.device == "cpu"
        budget = TOKEN_BUDGET if on_cpu else GPU_TOKEN_BUDGET
        ratio = LENGTH_RATIO if on_cpu else GPU_LENGTH_RATIO
        return list(length_ratio_batches(lengths, token_budget=budget, max_ratio=ratio))[::-1]

    def pool(self, ids: Ids) -> Tensor:
        """Return the means over the tokens (n, hidden), in the order of ids."""
        means: list[Tensor] = []
        order: list[int] = []
        for batch in reversed(self.micro_batches(ids)):
            longest = len(ids[batch[-1]]) + N_SPECIAL_TOKENS
            rows = torch.zeros((len(batch), longest), dtype=torch.int64)
            mask = torch.zeros((len(batch), longest))
            for row, position in enumerate(batch):
                window = [self.cls_id, *ids[position], self.sep_id]
                rows[row, : len(window)] = torch.tensor(window)
                mask[row, : len(window)] = 1
            means.append(self._bert.pool(rows.to(self.device), mask.to(self.device)))
            order += batch
        return torch.cat(means)[torch.tensor(order).argsort().to(means[0].device)]


class StaticStudent:
    """A table with a vector per token. The vector of a text is the mean of its tokens' vectors."""

    def __init__(self, init_model: InitialModel, table: Matrix, *, device: str = "cpu") -> None:
        """Copy a table (vocabulary, dim) to the device."""
        self.init_model = init_model
        self.device = device
        self.tensors = {TABLE: torch.tensor(table, device=device)}

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim). A text without tokens gets a zero row."""
        table = self.tensors[TABLE]
        flat = torch.tensor([token for text in ids for token in text], dtype=torch.int64, device=table.device)
        offsets = torch.tensor([0, *map(len, ids)], device=table.device).cumsum(0)[:-1]
        return functional.normalize(functional.embedding_bag(flat, table, offsets, mode="mean"))

    def micro_batches(self, ids: Ids) -> list[list[int]]:
        """Return one micro-batch, because the gradient of each is as large as the table."""
        return [list(range(len(ids)))]


def fit_head(
    blocks: Iterable[tuple[Matrix, Matrix]],
    head_init: HeadInit = HeadInit.RIDGE_TO_PROCRUSTES,
    *,
    ridge: float = 0.02,
) -> Matrix:
    """Fit the head (dim, hidden), which maps pooled vectors to targets.

    Args:
        blocks: (pooled, targets) of the same texts, in any number of blocks. Only their moments, summed in float64, are
            held in memory. pooled: means over the tokens (rows, hidden), which are scaled to unit length here; targets:
            unit vectors in the space (rows, dim); dim <= hidden unless head_init is RIDGE.
        head_init: the kind of fit.
        ridge: strength of the regularization, relative to the mean square of a pooled vector, which is 1. Without it
            training diverged.

    Raises:
        ShapeError: dim > hidden for a Procrustes map.

    Sources: Procrustes: Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem". Ridge: Hoerl &
    Kennard 1970, "Ridge regression: biased estimation for nonorthogonal problems".
    """
    n_texts = 0
    moment, correlation = np.zeros((0, 0)), np.zeros((0, 0))
    for pooled, targets in blocks:
        rows = unit_rows(pooled).astype(np.float64)
        if not n_texts:
            moment = np.zeros((rows.shape[1], rows.shape[1]))
            correlation = np.zeros((rows.shape[1], targets.shape[1]))
        n_texts += len(rows)
        moment += rows.T @ rows
        correlation += rows.T @ targets.astype(np.float64)
    moment /= n_texts
    correlation /= n_texts
    hidden, dim = correlation.shape
    prior = np.zeros((hidden, dim))
    if head_init is not HeadInit.RIDGE:
        if dim > hidden:
            raise ShapeError(f"dim: expected at most {hidden} (width of the student) for a Procrustes map, got {dim}")
        left, _, right = np.linalg.svd(correlation, full_matrices=False)
        rotation = left @ right
        if head_init is HeadInit.PROCRUSTES:
            return np.ascontiguousarray(rotation.T, dtype=np.float32)
        prior = rotation * (rotation * correlation).sum()  # scaled by the mean cosine that the rotation reaches
    head = np.linalg.solve(moment + ridge * np.eye(hidden), correlation + ridge * prior)
    # In C order, as a head that is read from a file: another order changes the last bits of products.
    return np.ascontiguousarray(head.T, dtype=np.float32)


def fit_token_table(student: TransformerStudent, *, counts: np.ndarray, smoothing: float = 1e-3) -> Matrix:
    """Compute the initial table (vocabulary, dim) of a static student.

    The vector of a token is the student's vector of the token alone, multiplied by its smooth inverse frequency.

    Args:
        student: the Transformer that embeds the tokens.
        counts: occurrences of each token in the texts, (vocabulary,).
        smoothing: a in the weight a / (a + frequency).

    Source: Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings".
    """
    rows = embed_ids(student, [[token] for token in range(len(counts))])
    frequencies = counts / max(counts.sum(), 1)
    return np.asarray(rows * (smoothing / (smoothing + frequencies))[:, None], dtype=np.float32)


def pool_ids(student: TransformerStudent, ids: Ids, *, block: int = 512) -> Matrix:
    """Return the means over the tokens (n, hidden) of any number of texts, without gradients."""
    with Workers.of_device(student.device) as workers:
        return _map_blocks(student.pool, ids, block, workers)


def embed_ids(student: Student, ids: Ids, *, block: int = 512, workers: Workers | None = None) -> Matrix:
    """Return unit vectors (n, dim) of any number of texts, without gradients. None starts workers for this call."""
    if workers:
        return _map_blocks(student.embed, ids, block, workers)
    with Workers.of_device(student.device) as workers:
        return _map_blocks(student.embed, ids, block, workers)


def _map_blocks(function: Callable[[Ids], Tensor], ids: Ids, block: int, workers: Workers) -> Matrix:
    def compute(first: int) -> Matrix:
        with torch.inference_mode():
            return function(ids[first : first + block]).cpu().numpy()

    return np.concatenate(workers.map(compute, range(0, len(ids), block)))


def tokenize(init_model: InitialModel, texts: Sequence[str], *, max_tokens: int) -> TokenIds:
    """Return the first token ids of each text, at most max_tokens and one window, without special tokens."""
    n_kept = min(max_tokens, init_model.max_tokens)

    def encode_blocks() -> Iterator[list[list[int]]]:
        for first in range(0, len(texts), BLOCK):
            block = list(texts[first : first + BLOCK])
            encodings = init_model.tokenizer.encode_batch_fast(block, add_special_tokens=False)
            yield [encoding.ids[:n_kept] for encoding in encodings]

    return TokenIds(encode_blocks(), n_tokens=init_model.tokenizer.get_vocab_size())
