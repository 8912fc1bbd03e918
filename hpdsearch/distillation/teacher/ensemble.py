"""Several teachers as one: their unit vectors, weighted and concatenated. An ensemble of one is that teacher itself.

Models that err differently make a better target together than each alone. The leading directions of the concatenated
vectors are the space, so a direction in which two teachers agree comes before one that only one of them has.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.spec import WeightedTeacher
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.encoder import Device
from hpdsearch.errors import EncoderError

TeacherName = str | Path | WeightedTeacher


class TeacherEnsemble:
    """One or several teachers. The embedding of a text is the concatenation of weight x unit vector of each teacher.

    Attributes:
        teachers: at least one, in the order of their parts of the embedding.
        weights: of the teachers, > 0. Only their ratios matter.
        name: of the teachers, as in "large + 0.7 small".
        sha256: hexadecimal, of the teachers' hashes and weights. The hash of a single teacher is its own.
        dim: width of the embeddings, the sum of the teachers' widths.
        device: of torch, the same for all teachers.
    """

    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float]) -> None:
        self.teachers = list(teachers)
        self.weights = [float(weight) for weight in weights]
        self.device = teachers[0].device
        self.dim = sum(teacher.dim for teacher in teachers)
        self.name = ensemble_name([teacher.name for teacher in self.teachers], self.weights)
        self.sha256 = self.teachers[0].sha256
        if len(self.teachers) == 1:
            self.name = self.teachers[0].name  # the weight of a single unit vector changes nothing
        else:
            members = [[teacher.sha256, weight] for teacher, weight in zip(self.teachers, self.weights, strict=True)]
            self.sha256 = hashlib.sha256(json.dumps(members).encode()).hexdigest()

    @classmethod
    def load(
        cls, teachers: TeacherName | Sequence[TeacherName], *, device: str | Device = Device.AUTO
    ) -> "TeacherEnsemble":
        """Open one teacher or several, by name or folder, with or without weights.

        Args:
            teachers: one or several.
            device: runs them, see Teacher.load.

        Raises:
            EncoderError: none is given, one occurs twice, or one cannot be opened (see Teacher.load).
        """
        named = [teachers] if isinstance(teachers, str | Path | WeightedTeacher) else list(teachers)
        weighted = [each if isinstance(each, WeightedTeacher) else WeightedTeacher(each) for each in named]
        if not weighted:
            raise EncoderError("teacher: expected at least one, got none")
        opened = [Teacher.load(each.model, device=device) for each in weighted]
        for number, teacher in enumerate(opened):
            if teacher.sha256 in [other.sha256 for other in opened[:number]]:
                raise EncoderError(f"teacher {teacher.name}: expected each teacher once; give it one weight")
        return cls(opened, [each.weight for each in weighted])

    @property
    def licenses(self) -> dict[str, str]:
        """The license of each teacher, by its name."""
        return {teacher.name: teacher.license for teacher in self.teachers}

    def for_queries(self) -> "TeacherEnsemble":
        """Return the ensemble with the query prompts of its teachers; itself if these are the prompts of documents."""
        teachers = [teacher.for_queries() for teacher in self.teachers]
        return self if teachers == self.teachers else TeacherEnsemble(teachers, self.weights)

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Encode documents as unit vectors, float32 (n, dim), see Teacher.encode."""
        return self.concatenate([teacher.encode(texts, progress=progress) for teacher in self.teachers])

    def concatenate(self, parts: Sequence[Matrix]) -> Matrix:
        """Return the embeddings, float32 (n, dim), from those of the teachers, (n, teacher.dim) each."""
        return concatenate_weighted(parts, self.weights)


class EnsembleCache:
    """The caches of an ensemble's teachers, one each. They are those that the teachers have alone.

    Attributes:
        teacher: the ensemble.
        caches: of its teachers.
    """

    def __init__(self, teacher: TeacherEnsemble, root: Path | None = None) -> None:
        """Open the caches.

        Args:
            teacher: the ensemble.
            root: folder of all teachers' caches, see open_cache.

        Raises:
            CacheError: a folder cannot be created or read.
        """
        self.teacher = teacher
        self.caches = [open_cache(each, root) for each in teacher.teachers]

    def embed(self, texts: Sequence[str], *, progress: Progress = SILENT) -> None:
        """Embed the texts that are not in the caches, see `teacher.embed`.

        Raises:
            CacheError: another process is writing to a cache, or the disk is full.
        """
        for teacher, cache in zip(self.teacher.teachers, self.caches, strict=True):
            embed(teacher, texts, cache, progress=progress)

    def embeddings(self, texts: Sequence[str]) -> Matrix:
        """Read the embeddings of texts, float32 (n, dim).

        Raises:
            CacheError: some of the texts are not in a cache.
        """
        return self.teacher.concatenate([cache.embeddings(texts) for cache in self.caches])


def ensemble_name(names: Sequence[str], weights: Sequence[float]) -> str:
    """Return the name of several teachers, as in "large + 0.7 small"."""
    pairs = zip(names, weights, strict=True)
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in pairs)


def concatenate_weighted(parts: Sequence[Matrix], weights: Sequence[float]) -> Matrix:
    """Return unit vectors, float32 (n, sum of the widths), from the embeddings of several teachers.

    Args:
        parts: of each teacher, (n, width). A single one is returned as it is.
        weights: of their unit vectors, > 0, one for each part.
    """
    if len(parts) == 1:
        return parts[0]
    return unit_rows(
        np.concatenate([weight * unit_rows(part) for weight, part in zip(weights, parts, strict=True)], axis=1)
    )
