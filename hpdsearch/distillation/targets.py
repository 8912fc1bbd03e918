"""The start of a training: the space, the untrained student, and the training targets.

Results that take long to compute are stored in the folder of the training, and a resumed run reads them from there.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.checkpoint import read_checkpoint, write_checkpoint
from hpdsearch.distillation.data.split import Split
from hpdsearch.distillation.data.texts import TrainingSet
from hpdsearch.distillation.space.projection import fit_projection
from hpdsearch.distillation.spec import DistillSpec, ProjectionSpec
from hpdsearch.distillation.staging import ENSEMBLE
from hpdsearch.distillation.student.build import init_student
from hpdsearch.distillation.student.initial_model import InitialModel
from hpdsearch.distillation.student.student import Student, embed_ids, tokenize
from hpdsearch.distillation.teacher.ensemble import EnsembleCache
from hpdsearch.encoder import Encoder, Space, read_space, write_space
from hpdsearch.encoder.space import CARD

BLOCK = 4096  # embeddings in memory at once


def fit_space(folder: Path, cache: EnsembleCache, split: Split, spec: DistillSpec) -> tuple[Space, float]:
    """Fit a new space to the texts that the teacher embeds. Return it and the energy that it explains, in 0..1.

    A resumed training reads the space of the first run, because the last bits of a fit depend on the number of cores.

    Args:
        folder: of the space.
        cache: it contains the embeddings of split.fitted; the name and hash of its teacher go into the space.
        split: the texts.
        spec: its projection is used.
    """
    projection = fit_projection(_iterate_blocks(cache, split.fitted), spec.projection or ProjectionSpec())
    if not (folder / CARD).is_file():
        teacher = cache.teacher
        write_space(folder, teacher=teacher.name, teacher_hash=teacher.sha256, components=projection.components)
    return read_space(folder), float(projection.explained_energy[-1])


def prepare_student(
    space: Space,
    cache: EnsembleCache,
    split: Split,
    init_model: InitialModel,
    assistant: Encoder | None,
    spec: DistillSpec,
    folder: Path,
    progress: Progress,
    *,
    device: str,
) -> tuple[Student, TrainingSet]:
    """Build the untrained student and its training set.

    The target of a text is the teacher's vector or, beyond n_teacher_texts, that of the teacher assistant. A positive
    ensemble_weight adds a second vector to each target: that of the assistant or of the untrained student.

    Args:
        space: to train into.
        cache: it contains the embeddings of split.by_teacher.
        split: the texts.
        init_model: the model to start from.
        assistant: the teacher assistant, an encoder of the space (Mirzadeh et al. 2020, arXiv:1902.03393).
        spec: settings.
        folder: of the training; it stores the second vectors.
        progress: of the assistant.
        device: of torch, for the student.
    """
    ids = tokenize(init_model, split.training, max_tokens=spec.resolve_training().max_tokens)
    targets = np.empty((len(ids), space.dim), dtype=np.float32)
    n_taught = len(split.by_teacher)
    for first, block in zip(range(0, n_taught, BLOCK), _iterate_blocks(cache, split.by_teacher), strict=True):
        targets[first : first + len(block)] = space.project(block)
    second = None
    if assistant and (spec.ensemble_weight or split.by_assistant):
        texts = split.training if spec.ensemble_weight else split.by_assistant
        second = _load_or_compute(folder / ENSEMBLE, lambda: assistant.encode(texts, progress=progress))
        targets[n_taught:] = second[len(texts) - len(split.by_assistant) :]
    student = init_student(init_model, TrainingSet(ids, targets), space, spec, device=device)
    if spec.ensemble_weight:
        if second is None:
            second = _load_or_compute(folder / ENSEMBLE, lambda: embed_ids(student, ids))
        targets = unit_rows(targets + spec.ensemble_weight * second)
    return student, TrainingSet(ids, targets)


def _iterate_blocks(cache: EnsembleCache, texts: Sequence[str]) -> Iterator[Matrix]:
    for first in range(0, len(texts), BLOCK):
        yield cache.embeddings(texts[first : first + BLOCK])


def _load_or_compute(path: Path, compute: Callable[[], Matrix]) -> Matrix:
    """Read vectors from a file, or compute them and write the file."""
    if (found := read_checkpoint(path)) is not None:
        return found[0]["vectors"].numpy()
    vectors = compute()
    write_checkpoint(path, {"vectors": torch.from_numpy(vectors)}, {})
    return vectors
