"""What a student learns: the space, the vectors of its texts in it, and the student as it begins.

What takes long to make is kept in the folder of the training and read from there when it is resumed.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.space.projection import ProjectionSpec, fit_projection
from hpdsearch.distillation.spec import DistillSpec, Split
from hpdsearch.distillation.staging import ANCHOR
from hpdsearch.distillation.student.base import Base
from hpdsearch.distillation.student.build import make_student
from hpdsearch.distillation.student.student import Student, student_vectors, token_ids
from hpdsearch.distillation.teacher.cache import EmbeddingCache
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.distillation.training.trainer import Texts
from hpdsearch.encoder import Encoder, Space, read_space, write_space
from hpdsearch.encoder.space import CARD

BLOCK = 4096  # embeddings in memory at once


def fitted_space(
    folder: Path, teacher: Teacher, cache: EmbeddingCache, split: Split, spec: DistillSpec
) -> tuple[Space, float]:
    """Return a new space and the energy that it explains.

    A resumed training reads what the first one has fitted: fitted again with another number of cores, its last bits
    may differ.
    """
    projection = fit_projection(_blocks(cache, split.fitted), spec.projection or ProjectionSpec())
    if not (folder / CARD).is_file():
        write_space(folder, teacher=teacher.name, teacher_hash=teacher.sha256, components=projection.components)
    return read_space(folder), float(projection.energy[-1])


def begin_student(
    space: Space,
    cache: EmbeddingCache,
    split: Split,
    base: Base,
    assistant: Encoder | None,
    spec: DistillSpec,
    folder: Path,
    progress: Progress,
) -> tuple[Student, Texts]:
    """Return the untrained student and what it has to learn: the teacher's vectors, drawn to the anchor's."""
    ids = token_ids(base, split.learned, max_tokens=spec.completed_training().max_tokens)
    targets, n_taught = np.empty((len(ids), space.dim), dtype=np.float32), len(split.by_teacher)
    for first, block in zip(range(0, n_taught, BLOCK), _blocks(cache, split.by_teacher), strict=True):
        targets[first : first + len(block)] = space.project(block)
    anchors = None
    if assistant and (spec.anchor or split.by_assistant):
        wanted = split.learned if spec.anchor else split.by_assistant
        anchors = _kept(folder / ANCHOR, lambda: assistant.encode(wanted, progress=progress))
        targets[n_taught:] = anchors[len(wanted) - len(split.by_assistant) :]
    student = make_student(base, Texts(ids, targets), space, spec)
    if spec.anchor:
        if anchors is None:
            anchors = _kept(folder / ANCHOR, lambda: student_vectors(student, ids))
        targets = unit_rows(targets + spec.anchor * anchors)
    return student, Texts(ids, targets)


def _blocks(cache: EmbeddingCache, texts: Sequence[str]) -> Iterator[Matrix]:
    for first in range(0, len(texts), BLOCK):
        yield cache.embeddings(texts[first : first + BLOCK])


def _kept(path: Path, make: Callable[[], Matrix]) -> Matrix:
    """Return vectors that took long to make, from the file where they are, or made and put there."""
    if (found := read_checkpoint(path)) is not None:
        return found[0]["vectors"].numpy()
    vectors = make()
    write_checkpoint(path, {"vectors": torch.from_numpy(vectors)}, {})
    return vectors
