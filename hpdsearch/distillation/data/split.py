"""The split of the texts: held out, embedded by the teacher, or embedded by the teacher assistant."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hpdsearch.distillation.data.augmentation import augment_texts
from hpdsearch.distillation.data.parallel import Pair
from hpdsearch.distillation.spec import DistillSpec
from hpdsearch.errors import DistillError

MIN_HELD_OUT = 20  # fewer texts have hardly more than the ten neighbors that are compared
HELD_OUT_SHARE = 10  # at most one text in so many is held out


@dataclass(frozen=True)
class Split:
    """Texts by their use.

    Attributes:
        held_out: never trained on.
        fitted: training texts that the teacher embeds. A new space is fitted to them.
        augmented: augmented texts made of `fitted`, embedded by the teacher. None of them is a held-out text.
        by_assistant: training texts that the teacher assistant embeds.
        pairs: parallel texts of training texts; the translations are trained on too.
        held_out_pairs: parallel texts of held-out texts.
    """

    held_out: list[str]
    fitted: list[str]
    augmented: list[str]
    by_assistant: list[str]
    pairs: list[Pair] = field(default_factory=list)
    held_out_pairs: list[Pair] = field(default_factory=list)

    @property
    def by_teacher(self) -> list[str]:
        """The training texts that the teacher embeds."""
        return [*self.fitted, *self.augmented]

    @property
    def embedded(self) -> list[str]:
        """The training texts that the teacher or the assistant embeds: all but the translations."""
        return [*self.by_teacher, *self.by_assistant]

    @property
    def training(self) -> list[str]:
        """All training texts."""
        return [*self.embedded, *(pair.translation for pair in self.pairs)]


def split_texts(texts: Sequence[str], spec: DistillSpec, pairs: Sequence[Pair] = ()) -> Split:
    """Split texts by their use. Equal texts and seeds give equal splits.

    Args:
        texts: distinct.
        spec: its n_held_out, shuffle, n_teacher_texts, min_teacher_words, n_augmented and seed are used.
        pairs: parallel texts. Their first texts come behind `texts`. A translation is held out with its text, and left
            out if it equals a held-out text.

    Raises:
        DistillError: there are too few texts.
    """
    if pairs:
        texts = list(dict.fromkeys([*texts, *(pair.text for pair in pairs)]))
    training, held_out = hold_out(texts, spec.n_held_out, spec.seed)
    if spec.shuffle:
        training = [training[position] for position in np.random.default_rng(spec.seed).permutation(len(training))]
    long = [text for text in training if len(text.split()) >= spec.min_teacher_words]
    fitted = long[: spec.n_teacher_texts]
    # An augmented text may equal another text, which may be held out.
    known = set(texts)
    held = set(held_out)
    by_teacher = set(fitted)
    augmented = dict.fromkeys(augment_texts(fitted, spec.n_augmented, spec.seed))
    return Split(
        held_out=held_out,
        fitted=fitted,
        augmented=[text for text in augmented if text not in known],
        by_assistant=[text for text in training if text not in by_teacher],
        pairs=[pair for pair in pairs if pair.text not in held and pair.translation not in held],
        held_out_pairs=[pair for pair in pairs if pair.text in held],
    )


def hold_out(texts: Sequence[str], n: int, seed: int) -> tuple[list[str], list[str]]:
    """Split texts into (training texts, held-out texts), both in the order of `texts`. Equal seeds give equal splits.

    Args:
        texts: distinct.
        n: texts to hold out, >= 20. A tenth of the texts is held out if there are fewer than 10 n of them.
        seed: of the draw.

    Raises:
        DistillError: n is less than 20, or a tenth of the texts is.
    """
    if n < MIN_HELD_OUT:
        raise DistillError(f"held-out texts: expected at least {MIN_HELD_OUT}, got {n}")
    if len(texts) < HELD_OUT_SHARE * MIN_HELD_OUT:
        raise DistillError(
            f"texts: expected at least {HELD_OUT_SHARE * MIN_HELD_OUT} different passages, of which a tenth is held "
            f"out for the quality report, got {len(texts)}; give more texts"
        )
    n = min(n, len(texts) // HELD_OUT_SHARE)
    held = set(np.random.default_rng(seed).choice(len(texts), n, replace=False).tolist())
    training = [text for position, text in enumerate(texts) if position not in held]
    return training, [texts[position] for position in sorted(held)]
