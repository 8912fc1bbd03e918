"""Students: what is trained. A Transformer with a linear head, or a table with one vector a token.

A student is a dictionary of float32 tensors and the way from token ids to unit vectors; training.py moves the tensors.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.export.onnx_graph import HEAD, WORDS
from hpdsearch.distillation.export.transformer import count_layers
from hpdsearch.distillation.student.base import Base
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.errors import ShapeError

PADDED_TOKENS = 1200  # tokens that go through the Transformer at once while training, padding included
PADDING = 1.25  # longest text of a batch at most this much longer than its shortest
BLOCK = 4096  # texts tokenized at once

Ids = Sequence[Sequence[int]]


class HeadStart(Enum):
    """How the head begins: what maps the untrained Transformer's vectors to the teacher's in the space."""

    BOTH = "both"  # ridge regression drawn to the rotation instead of to zero: better than either at all measures
    ROTATION = "rotation"  # orthogonal Procrustes: keeps the Transformer's own cosines
    RIDGE = "ridge"  # least squares: lands nearer to the teacher, and shrinks what it cannot predict


class Student(Protocol):
    """What training and export need of a student.

    Attributes:
        tensors: float32, by name; those to be trained are changed in place.
        base: tokenizer, window and name.
    """

    tensors: dict[str, Tensor]
    base: Base

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim) of token ids, special tokens not included, each text one window."""

    def parts(self, ids: Ids) -> list[list[int]]:
        """Return the positions of a batch's texts in parts that are best embedded one by one, largest first."""


class TransformerStudent:
    """A BERT-like Transformer, the mean over its tokens, and a linear head."""

    def __init__(self, base: Base, tensors: dict[str, Matrix], *, device: str = "cpu") -> None:
        """Take over tensors under the names of an encoder's model.safetensors, head included or not."""
        self.base = base
        self.tensors = {name: torch.tensor(tensor, device=device) for name, tensor in tensors.items()}
        self.n_layers = count_layers(tensors)
        self.start, self.end = base.tokenizer.encode("").ids

    def set_head(self, head: Matrix) -> None:
        """Take another head (dim, hidden)."""
        self.tensors[HEAD] = torch.tensor(head, device=self.tensors[WORDS].device)

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim)."""
        return functional.normalize(functional.linear(self.pooled(ids), self.tensors[HEAD]))

    def parts(self, ids: Ids) -> list[list[int]]:
        """Return what is padded to one length."""
        return list(padded_batches(ids))[::-1]

    def pooled(self, ids: Ids) -> Tensor:
        """Return the means over the tokens (n, hidden), in the order of ids."""
        parts, order = [], []
        for batch in padded_batches(ids):
            longest = len(ids[batch[-1]]) + 2
            rows = torch.zeros((len(batch), longest), dtype=torch.int64)
            mask = torch.zeros((len(batch), longest))
            for row, position in enumerate(batch):
                window = [self.start, *ids[position], self.end]
                rows[row, : len(window)] = torch.tensor(window)
                mask[row, : len(window)] = 1
            device = self.tensors[WORDS].device
            parts.append(self._forward(rows.to(device), mask.to(device)))
            order += batch
        return torch.cat(parts)[torch.tensor(order).argsort().to(parts[0].device)]

    def _forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the means (n, hidden) of padded windows: ids and mask (n, tokens)."""
        words, positions = self.tensors[WORDS], self.tensors["embeddings.position_embeddings.weight"]
        x = self._norm(functional.embedding(ids, words) + positions[: ids.shape[1]], "embeddings.LayerNorm")
        hidden_keys = (1 - mask)[:, None, None, :] * torch.finfo(x.dtype).min
        for number in range(self.n_layers):
            layer = f"encoder.layer.{number}"
            x = self._norm(x + self._attention(x, hidden_keys, layer), f"{layer}.attention.output.LayerNorm")
            inner = functional.gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def _attention(self, x: Tensor, hidden_keys: Tensor, layer: str) -> Tensor:
        """Return the attention output of one layer, (n, tokens, hidden); softmax written out trains fastest."""
        query, key, value = (
            self._linear(x, f"{layer}.attention.self.{part}").view(*x.shape[:2], self.base.n_heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )  # each (n, heads, tokens, head_dim)
        weights = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5 + hidden_keys
        mixed = (weights.softmax(dim=3) @ value).transpose(1, 2).flatten(2)
        return self._linear(mixed, f"{layer}.attention.output.dense")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, self.base.epsilon)


class StaticStudent:
    """One vector a token; a text is the mean of its tokens' vectors."""

    def __init__(self, base: Base, table: Matrix, *, device: str = "cpu") -> None:
        """Take over a table (vocabulary, dim)."""
        self.base = base
        self.tensors = {TABLE: torch.tensor(table, device=device)}

    def embed(self, ids: Ids) -> Tensor:
        """Return unit vectors (n, dim); a text without tokens gets a zero row."""
        table = self.tensors[TABLE]
        flat = torch.tensor([token for text in ids for token in text], dtype=torch.int64, device=table.device)
        offsets = torch.tensor([0, *map(len, ids)], device=table.device).cumsum(0)[:-1]
        return functional.normalize(functional.embedding_bag(flat, table, offsets, mode="mean"))

    def parts(self, ids: Ids) -> list[list[int]]:
        """Return one part: each would have a gradient as large as the table."""
        return [list(range(len(ids)))]


def padded_batches(ids: Ids) -> Iterator[list[int]]:
    """Yield the positions of texts in batches of similar length, shortest text first, every position once."""
    batch: list[int] = []
    for position in sorted(range(len(ids)), key=lambda position: len(ids[position])):
        length = len(ids[position]) + 2
        too_long = length > (len(ids[batch[0]]) + 2) * PADDING + 1 if batch else False
        if batch and (too_long or length * (len(batch) + 1) > PADDED_TOKENS):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def fit_head(pooled: Matrix, targets: Matrix, start: HeadStart = HeadStart.BOTH, *, ridge: float = 0.02) -> Matrix:
    """Return the head (dim, hidden) that maps pooled vectors to the teacher's in the space.

    Args:
        pooled: means over the tokens (n, hidden), scaled to length 1 here.
        targets: unit vectors of the same texts in the space (n, dim), dim <= hidden for a rotation.
        start: how.
        ridge: weight of what regression is drawn to, beside the mean square of one number of the pooled vectors;
            without it training was seen to diverge.

    Raises:
        ShapeError: a rotation into a space wider than the Transformer.
    """
    rows, dim = unit_rows(pooled).astype(np.float64), targets.shape[1]
    n_texts, hidden = rows.shape
    correlation = rows.T @ targets / n_texts
    drawn_to = np.zeros((hidden, dim))
    if start is not HeadStart.RIDGE:
        if dim > hidden:
            raise ShapeError(f"dim: expected at most {hidden} (width of the student) for a rotation, got {dim}")
        left, _, right = np.linalg.svd(correlation, full_matrices=False)
        rotation = left @ right
        if start is HeadStart.ROTATION:
            return np.asarray(rotation.T, dtype=np.float32)
        drawn_to = rotation * (rotation * correlation).sum()  # times the mean cosine that the rotation reaches
    head = np.linalg.solve(rows.T @ rows / n_texts + ridge * np.eye(hidden), correlation + ridge * drawn_to)
    return np.asarray(head.T, dtype=np.float32)


def pooled_vectors(student: TransformerStudent, ids: Ids, *, block: int = 512) -> Matrix:
    """Return the means over the tokens (n, hidden) of any number of texts, without gradients."""
    with Workers() as workers:
        return _in_blocks(student.pooled, ids, block, workers)


def student_vectors(student: Student, ids: Ids, *, block: int = 512, workers: Workers | None = None) -> Matrix:
    """Return unit vectors (n, dim) of any number of texts, without gradients; None starts workers for it."""
    if workers:
        return _in_blocks(student.embed, ids, block, workers)
    with Workers() as workers:
        return _in_blocks(student.embed, ids, block, workers)


def _in_blocks(function: Callable[[Ids], Tensor], ids: Ids, block: int, workers: Workers) -> Matrix:
    def of(first: int) -> Matrix:
        with torch.inference_mode():
            return function(ids[first : first + block]).cpu().numpy()

    return np.concatenate(workers.map(of, range(0, len(ids), block)))


def token_table(student: TransformerStudent, *, counts: np.ndarray, smoothing: float = 1e-3) -> Matrix:
    """Return a table (vocabulary, dim) to begin a static student with: each token read alone, rare ones weighing more.

    Args:
        student: reads the tokens.
        counts: how often each token occurs in the texts, (vocabulary,).
        smoothing: a of the weight a / (a + share of the token) (Arora et al. 2017, smooth inverse frequency).
    """
    rows = student_vectors(student, [[token] for token in range(len(counts))])
    shares = counts / max(counts.sum(), 1)
    return np.asarray(rows * (smoothing / (smoothing + shares))[:, None], dtype=np.float32)


def token_ids(base: Base, texts: Sequence[str], *, max_tokens: int) -> "list[array[int]]":
    """Return the first token ids of each text, at most max_tokens and what the base reads at once, none special.

    An array takes 4 bytes an id, a list 36.
    """
    n_kept, kept = min(max_tokens, base.max_tokens), []
    for first in range(0, len(texts), BLOCK):
        block = list(texts[first : first + BLOCK])
        encodings = base.tokenizer.encode_batch_fast(block, add_special_tokens=False)
        kept += [array("i", encoding.ids[:n_kept]) for encoding in encodings]
    return kept
