"""What a distillation makes, what its model card tells, and which texts are for what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpdsearch.distillation.data.augmentation import make_variants
from hpdsearch.distillation.data.texts import held_out_split
from hpdsearch.distillation.export.model_card import TextSource
from hpdsearch.distillation.export.transformer import Precision
from hpdsearch.distillation.gates import MIN_KEPT_STATIC, GateSpec
from hpdsearch.distillation.space.projection import ProjectionSpec
from hpdsearch.distillation.student.student import HeadStart
from hpdsearch.distillation.training.losses import LossSpec
from hpdsearch.distillation.training.trainer import TrainingSpec

STATIC_TRAINING = TrainingSpec(
    epochs=10.0, batch_size=512, learning_rate=2e-3, weight_decay=0.0, loss=LossSpec(place=1.0, similarity=20.0)
)
NOT_STATED = "not stated"  # a licence that nobody has told of


@dataclass(frozen=True)
class DistillSpec:
    """What is made, besides of what.

    Attributes:
        layers: of the base, how many (chosen evenly) or which; None for all.
        static: a table of token vectors instead of a Transformer.
        projection: of a new space. None: the space that the student already leads into, if it is known and of this
            teacher, else a new one of ProjectionSpec's defaults.
        head: how the head begins, unless the base has one that leads into the space.
        training: None for what suits the kind of student; its seed is the one below.
        gates: what the encoder must reach; None for what suits the kind of student.
        n_held_out: texts to choose the checkpoint and to judge by, at most a tenth of all.
        variants: made of each short training text (see variants.py).
        teacher_texts: training texts that the teacher embeds, None for all; the others are left to the assistant.
        anchor: weight, beside the teacher's vector in the target, of the assistant's vector, or without an assistant of
            the untrained student's own. Both models together may be better than either, and the student has less far
            to go.
        untrained_share: 0..1, of the untrained student's weights in the result, whose weights lie between both ends:
            keeps more of what it knows beyond the texts (Wortsman et al. 2022, arXiv:2109.01903).
        restored: 0..1, how far each number of the vectors is scaled to its mean square in the teacher's (0 not, 1
            wholly): a student shrinks what it cannot predict, and those directions tell near texts apart.
        shuffle: whether the texts are put in random order first; without it the teacher embeds the first ones.
        trim_vocabulary: whether tokens that no training text holds are left out.
        precision: of the stored weights.
        seed: of the split, the order, the variants and the training.
    """

    layers: int | tuple[int, ...] | None = None
    static: bool = False
    projection: ProjectionSpec | None = None
    head: HeadStart = HeadStart.BOTH
    training: TrainingSpec | None = None
    gates: GateSpec | None = None
    n_held_out: int = 1000
    variants: int = 0
    teacher_texts: int | None = None
    anchor: float = 0.0
    untrained_share: float = 0.0
    restored: float = 0.0
    shuffle: bool = True
    trim_vocabulary: bool = False
    precision: Precision = Precision.INT8
    seed: int = 0

    def completed_training(self) -> TrainingSpec:
        """Return the training in force."""
        return replace(self.training or (STATIC_TRAINING if self.static else TrainingSpec()), seed=self.seed)

    def completed_gates(self) -> GateSpec:
        """Return the gates in force."""
        return self.gates or (GateSpec(min_kept=MIN_KEPT_STATIC) if self.static else GateSpec())


@dataclass(frozen=True)
class Origin:
    """What the model card tells and only the caller knows.

    Attributes:
        sources: where the texts come from; empty: nothing is told but their number.
        license: of the encoder, as an SPDX name, or "other".
        licenses: of teacher, student and what else went in, by name.
        command: made the encoder.
    """

    sources: Sequence[TextSource] = ()
    license: str = "other"
    licenses: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Split:
    """Texts by their use.

    Attributes:
        held_out: never trained on.
        fitted: training texts, embedded by the teacher; a new space is fitted on them.
        variants: of these, embedded by the teacher; none of them is a held-out text.
        by_assistant: training texts that the assistant embeds.
    """

    held_out: list[str]
    fitted: list[str]
    variants: list[str]
    by_assistant: list[str]

    @property
    def by_teacher(self) -> list[str]:
        """Texts to learn from with the teacher's vectors."""
        return [*self.fitted, *self.variants]

    @property
    def learned(self) -> list[str]:
        """All texts to learn from."""
        return [*self.by_teacher, *self.by_assistant]


def split_texts(texts: Sequence[str], spec: DistillSpec) -> Split:
    """Return the texts by their use; equal texts and seeds give equal splits.

    Args:
        texts: each once.
        spec: its n_held_out, shuffle, teacher_texts, variants and seed count.

    Raises:
        DistillError: too few texts to hold some out.
    """
    learned, held_out = held_out_split(texts, spec.n_held_out, spec.seed)
    if spec.shuffle:
        learned = [learned[position] for position in np.random.default_rng(spec.seed).permutation(len(learned))]
    fitted = learned[: spec.teacher_texts]
    # What was made of one text may be another one, and held-out texts are not to be trained on.
    known = set(texts)
    variants = [text for text in dict.fromkeys(make_variants(fitted, spec.variants, spec.seed)) if text not in known]
    return Split(held_out, fitted, variants, by_assistant=learned[len(fitted) :])
