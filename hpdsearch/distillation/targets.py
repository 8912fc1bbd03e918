"""The start of a training: the space, the untrained student, and the training targets.

Results that take long to compute are stored in the folder of the training, and a resumed run reads them from there.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.data.split import Split
from hpdsearch.distillation.data.stored_rows import store_rows
from hpdsearch.distillation.data.texts import TrainingSet
from hpdsearch.distillation.space.projection import fit_projection
from hpdsearch.distillation.spec import DistillSpec, ProjectionSpec
from hpdsearch.distillation.staging import TARGETS
from hpdsearch.distillation.student.build import init_student
from hpdsearch.distillation.student.initial_model import InitialModel
from hpdsearch.distillation.student.student import Student, embed_ids, tokenize
from hpdsearch.distillation.teacher.ensemble import EnsembleCache
from hpdsearch.encoder import Encoder, Space, read_space, write_space
from hpdsearch.encoder.space import CARD

BLOCK = 4096  # embeddings in memory at once
SPACE_TEXTS = 200_000  # a space is fitted to no more texts: its directions would not change


def fit_space(folder: Path, cache: EnsembleCache, split: Split, spec: DistillSpec) -> tuple[Space, float]:
    """Fit a new space to the texts that the teacher embeds. Return it and the energy that it explains, in 0..1.

    A resumed training reads the space of the first run, because the last bits of a fit depend on the number of cores.

    Args:
        folder: of the space.
        cache: it contains the embeddings of split.fitted; the name and hash of its teacher go into the space.
        split: the texts.
        spec: its projection is used.
    """
    texts = split.fitted[:SPACE_TEXTS]
    projection = fit_projection(
        (cache.embeddings(texts[first : first + BLOCK]) for first in range(0, len(texts), BLOCK)),
        spec.projection or ProjectionSpec(),
    )
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

    The target of a text is the teacher's vector or, if split.by_assistant has it, that of the teacher assistant. The
    target of a translation is that of its text. A positive ensemble_weight adds a second vector to each target: that of
    the assistant or of the untrained student. Targets are computed block by block and stay on disk.

    Args:
        space: to train into.
        cache: it contains the embeddings of split.by_teacher.
        split: the texts.
        init_model: the model to start from.
        assistant: the teacher assistant, an encoder of the space (Mirzadeh et al. 2020, arXiv:1902.03393).
        spec: settings.
        folder: of the training; it stores the targets.
        progress: counts the targets.
        device: of torch, for the student.
    """
    texts = split.embedded
    n_taught = len(split.by_teacher)

    def compute_targets(rows: slice) -> Matrix:
        taught, other = texts[rows.start : min(rows.stop, n_taught)], texts[max(rows.start, n_taught) : rows.stop]
        parts = [space.project(cache.embeddings(taught))] if taught else []
        if assistant and other:
            parts.append(assistant.encode(other))
        vectors = np.concatenate(parts)
        if assistant and spec.ensemble_weight:
            second = np.concatenate([assistant.encode(taught), *parts[1:]]) if taught else vectors
            vectors = unit_rows(vectors + spec.ensemble_weight * second)
        return vectors

    shape = (len(texts), space.dim)
    targets = store_rows(folder / TARGETS / "targets.f16", shape, compute_targets, progress=progress)
    if split.pairs:
        texts, rows = mix_translations(split, spec.seed)
        shape = (len(texts), space.dim)
        of_texts = targets

        def copy_targets(block: slice) -> Matrix:
            return of_texts[rows[block]].astype(np.float32)

        targets = store_rows(folder / TARGETS / "translations.f16", shape, copy_targets, progress=progress)
    ids = tokenize(init_model, texts, max_tokens=spec.resolve_training().max_tokens)
    student = init_student(init_model, ids, targets, space, spec, folder, device=device)
    if spec.ensemble_weight and not assistant:

        def add_student(rows: slice) -> Matrix:
            return unit_rows(targets[rows] + np.float32(spec.ensemble_weight) * embed_ids(student, ids[rows]))

        mixed = store_rows(folder / TARGETS / "ensemble.f16", shape, add_student, name="ensemble", progress=progress)
        return student, TrainingSet(ids, mixed)
    return student, TrainingSet(ids, targets)


def mix_translations(split: Split, seed: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the texts and their translations in random order, and for each the row of its target.

    The head is fitted to the first of them, and so to all languages.

    Args:
        split: its embedded texts, of which each has a target, and its pairs.
        seed: of the order.

    Returns:
        The texts (n), and the positions (n,) in split.embedded of the texts whose targets they have.
    """
    row_of = {text: row for row, text in enumerate(split.embedded)}
    rows = np.array([*row_of.values(), *(row_of[pair.text] for pair in split.pairs)])
    order = np.random.default_rng(seed).permutation(len(rows))
    training = split.training
    return [training[position] for position in order], rows[order]
