"""A student before training (initial weights) and after it (weight interpolation, variance matching)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.data.texts import TrainingSet
from hpdsearch.distillation.data.token_ids import TokenIds
from hpdsearch.distillation.spec import DistillSpec
from hpdsearch.distillation.student.initial_model import InitialModel, select_layers
from hpdsearch.distillation.student.student import (
    StaticStudent,
    Student,
    TransformerStudent,
    embed_ids,
    fit_head,
    fit_token_table,
    pool_ids,
)
from hpdsearch.encoder import Space
from hpdsearch.encoder.bert import HEAD
from hpdsearch.encoder.static_backend import TABLE

HEAD_TEXTS = (10_000, 50_000)  # the initial head is fitted to a tenth of the texts, but to no fewer and no more
HEAD_FILE = "head.bin"
HEAD_BLOCK = 2048  # of them, in memory at once
PASSAGE_TOKENS = 64  # half of them are at least so long, if there are as many
EPSILON = 1e-12  # keeps a dimension that is 0 in every vector at 0


def init_student(
    init_model: InitialModel,
    ids: TokenIds,
    targets: np.ndarray,
    space: Space,
    spec: DistillSpec,
    folder: Path,
    *,
    device: str,
) -> Student:
    """Build the untrained student.

    Its head is fitted to some of the texts, unless all layers of the initial model are kept and it maps into the space.

    Args:
        init_model: the model to start from.
        ids: of the training texts, in random order.
        targets: their unit vectors in the space, (n, dim).
        space: the space to train into.
        spec: its layers, static and head_init are used.
        folder: of the training. It stores the head, because another number of cores would change its last bits.
        device: of torch.
    """
    tensors = init_model.tensors if spec.layers is None else select_layers(init_model, spec.layers)
    student = TransformerStudent(init_model, tensors, device=device)
    if init_model.space != space.id or spec.layers is not None:
        found = read_checkpoint(folder / HEAD_FILE)
        head = found[0][HEAD].numpy() if found else _fit_head(student, ids, targets, spec)
        student.set_head(head)
        if not found:
            write_checkpoint(folder / HEAD_FILE, {HEAD: torch.from_numpy(head)}, {})
    if not spec.static:
        return student
    counts = ids.counts(init_model.tokenizer.get_vocab_size())
    return StaticStudent(init_model, fit_token_table(student, counts=counts), device=device)


def _fit_head(student: TransformerStudent, ids: TokenIds, targets: np.ndarray, spec: DistillSpec) -> Matrix:
    fewest, most = HEAD_TEXTS
    positions = sample_lengths(ids.lengths(), min(most, max(fewest, len(ids) // 10)))

    def read_blocks() -> Iterator[tuple[Matrix, np.ndarray]]:
        for first in range(0, len(positions), HEAD_BLOCK):
            block = positions[first : first + HEAD_BLOCK]
            yield pool_ids(student, [ids[row] for row in block]), targets[block]

    return fit_head(read_blocks(), spec.head_init, ridge=spec.ridge)


def sample_lengths(lengths: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.intp]:
    """Return the positions of the first n texts of which half are passages, ascending.

    If there are too few texts of one kind, there are more of the other. A head that is fitted to short texts alone
    maps passages badly.

    Args:
        lengths: tokens of each text.
        n: number of positions, or all if there are fewer texts.
    """
    long = lengths >= PASSAGE_TOKENS
    n_long = max(min(n // 2, int(long.sum())), n - int((~long).sum()))
    return np.sort(np.concatenate([np.flatnonzero(long)[:n_long], np.flatnonzero(~long)[: n - n_long]]))


def postprocess_student(
    student: Student, init_tensors: dict[str, Tensor], taught: TrainingSet, spec: DistillSpec
) -> None:
    """Interpolate the weights with the initial ones and match the variance of the teacher, in place.

    Args:
        student: trained.
        init_tensors: its tensors before training, by name.
        taught: some training texts with the teacher's vectors in the space.
        spec: its interpolate_init and match_variance are used.

    Source: the interpolation is WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903.
    """
    for name, tensor in student.tensors.items():
        tensor.lerp_(init_tensors[name], spec.interpolate_init)
    if spec.match_variance:
        vectors = embed_ids(student, taught.token_ids)
        ratios = np.sqrt((taught.targets**2).mean(axis=0) / np.maximum((vectors**2).mean(axis=0), EPSILON))
        last = TABLE if TABLE in student.tensors else HEAD
        tensor = student.tensors[last]  # (vocabulary, dim) or (dim, hidden)
        factors = torch.from_numpy(ratios**spec.match_variance).to(tensor)
        tensor *= factors if last == TABLE else factors[:, None]
