"""A student before training (initial weights) and after it (weight interpolation, variance matching)."""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from hpdsearch.distillation.data.texts import TrainingSet
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

HEAD_TEXTS = 10_000  # texts that the initial head is fitted to
EPSILON = 1e-12  # keeps a dimension that is 0 in every vector at 0


def init_student(
    init_model: InitialModel, texts: TrainingSet, space: Space, spec: DistillSpec, *, device: str
) -> Student:
    """Build the untrained student.

    Its head is fitted to the first texts, unless all layers of the initial model are kept and it maps into the space.

    Args:
        init_model: the model to start from.
        texts: training texts with their targets in the space.
        space: the space to train into.
        spec: its layers, static and head_init are used.
        device: of torch.
    """
    tensors = init_model.tensors if spec.layers is None else select_layers(init_model, spec.layers)
    student = TransformerStudent(init_model, tensors, device=device)
    if init_model.space != space.id or spec.layers is not None:
        pooled = pool_ids(student, texts.token_ids[:HEAD_TEXTS])
        student.set_head(fit_head(pooled, texts.targets[:HEAD_TEXTS], spec.head_init))
    if not spec.static:
        return student
    tokens = np.fromiter(chain.from_iterable(texts.token_ids), dtype=np.int64)
    counts = np.bincount(tokens, minlength=init_model.tokenizer.get_vocab_size())
    return StaticStudent(init_model, fit_token_table(student, counts=counts), device=device)


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
