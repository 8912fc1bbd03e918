"""A base to the student that is trained, and the trained student to its encoder folder."""

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hpdsearch.distillation.export.onnx_graph import HEAD
from hpdsearch.distillation.export.static import export_static
from hpdsearch.distillation.export.transformer import Precision, export_encoder
from hpdsearch.distillation.spec import DistillSpec
from hpdsearch.distillation.student.base import Base, keep_layers
from hpdsearch.distillation.student.student import (
    StaticStudent,
    Student,
    TransformerStudent,
    fit_head,
    pooled_vectors,
    student_vectors,
    token_table,
)
from hpdsearch.distillation.training.trainer import Texts
from hpdsearch.encoder import Backend, Encoder, Space
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.encoder.torch_backend import best_device

HEAD_TEXTS = 10_000  # texts that a head is fitted to before training
TINY = 1e-12  # a number that is 0 in every vector stays 0


def make_student(base: Base, texts: Texts, space: Space, spec: DistillSpec) -> Student:
    """Return the untrained student; its head is fitted to the first texts, unless the base leads there as it is."""
    tensors = base.tensors if spec.layers is None else keep_layers(base, spec.layers)
    student = TransformerStudent(base, tensors, device=best_device())
    if base.space != space.id or spec.layers is not None:
        pooled = pooled_vectors(student, texts.ids[:HEAD_TEXTS])
        student.set_head(fit_head(pooled, texts.targets[:HEAD_TEXTS], spec.head))
    if not spec.static:
        return student
    tokens = np.fromiter(chain.from_iterable(texts.ids), dtype=np.int64)
    counts = np.bincount(tokens, minlength=base.tokenizer.get_vocab_size())
    return StaticStudent(base, token_table(student, counts=counts), device=best_device())


def finish_student(student: Student, untrained: dict[str, Tensor], taught: Texts, spec: DistillSpec) -> None:
    """Do to a trained student, in place, what the spec wants after training.

    Args:
        student: trained.
        untrained: its tensors before, by name.
        taught: some of its texts with the teacher's vectors.
        spec: untrained_share and restored.
    """
    for name, tensor in student.tensors.items():
        tensor.lerp_(untrained[name], spec.untrained_share)
    if spec.restored:
        found = student_vectors(student, taught.ids)
        ratios = np.sqrt((taught.targets**2).mean(axis=0) / np.maximum((found**2).mean(axis=0), TINY))
        last = TABLE if TABLE in student.tensors else HEAD
        tensor = student.tensors[last]  # (vocabulary, dim) or (dim, hidden)
        factors = torch.from_numpy(ratios**spec.restored).to(tensor)
        tensor *= factors if last == TABLE else factors[:, None]


def export_student(student: Student, folder: Path, *, name: str, space: str, precision: Precision) -> Encoder:
    """Write the encoder folder of a student and return the encoder."""
    tensors = {key: tensor.detach().cpu().numpy() for key, tensor in student.tensors.items()}
    base = student.base
    if TABLE in tensors:
        export_static(
            folder,
            name=name,
            space=space,
            table=tensors[TABLE],
            tokenizer=base.tokenizer,
            max_tokens=base.max_tokens,
            precision=precision,
        )
    else:
        export_encoder(
            folder,
            name=name,
            space=space,
            bert=tensors,
            head=tensors[HEAD],
            n_heads=base.n_heads,
            tokenizer=base.tokenizer,
            max_tokens=base.max_tokens,
            layer_norm_eps=base.epsilon,
            precision=precision,
        )
    return Encoder.load(folder, backend=Backend.ONNX)
