"""The settings of a distillation: every spec and every closed choice.

This module imports neither torch nor transformers: `hpdsearch distill --help` shows its defaults without them.
"""

import math
import re
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from hpdsearch.errors import DistillError, ShapeError

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class HeadInit(Enum):
    """The linear map that the head of a student starts from. `student.fit_head` fits it.

    Attributes:
        PROCRUSTES: the orthogonal map that is nearest to the targets (Schönemann 1966). It preserves the cosines of the
            Transformer.
        RIDGE: ridge regression (Hoerl & Kennard 1970). It comes nearer to the targets, but it shrinks the dimensions
            that it predicts badly.
        RIDGE_TO_PROCRUSTES: ridge regression that is regularized towards the Procrustes map instead of towards zero. It
            was better than either on every measure.
    """

    RIDGE_TO_PROCRUSTES = "ridge_to_procrustes"
    PROCRUSTES = "procrustes"
    RIDGE = "ridge"


class Precision(Enum):
    """The storage type of the large matrices. The arithmetic is float32 in both cases."""

    FLOAT32 = "float32"
    INT8 = "int8"


@dataclass(frozen=True)
class WeightedTeacher:
    """One teacher of several, see `ensemble.TeacherEnsemble`.

    Attributes:
        model: its folder, or its name on the Hugging Face hub.
        weight: of its unit vector in the concatenated embedding, > 0, beside the weights of the other teachers.

    Raises:
        DistillError: the weight is not a finite number above 0.
    """

    model: str | Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise DistillError(f"teacher {self.model}: expected a weight above 0, got {self.weight:g}")

    @classmethod
    def parse(cls, text: str) -> "WeightedTeacher":
        """Parse MODEL or MODEL:WEIGHT. A folder of that name, and a colon without a number behind it, have no weight.

        Raises:
            DistillError: the weight is not above 0.
        """
        model, _, weight = text.rpartition(":")
        if not model or not NUMBER.fullmatch(weight) or Path(text).exists():
            return cls(text)
        return cls(model, float(weight))


@dataclass(frozen=True)
class ProjectionSpec:
    """The linear map of a new space.

    Attributes:
        dim: width of the space, >= 1.
        centered: take the leading directions of the covariance matrix (PCA) instead of the second-moment matrix. The
            map never subtracts the mean, so it stays linear in both cases.
        whitening: scale each direction by variance ** -whitening, in 0..0.5. 0 preserves the cosines within the leading
            directions, 0.5 is full whitening.

    Raises:
        ShapeError: dim or whitening is out of range.
    """

    dim: int = 256
    centered: bool = False
    whitening: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ShapeError(f"dim: expected at least 1, got {self.dim}")
        if not 0 <= self.whitening <= 0.5:
            raise ShapeError(f"whitening: expected 0..0.5, got {self.whitening}")


@dataclass(frozen=True)
class LossSpec:
    """The weights of the loss terms. A term of weight 0 is not computed. `losses.distillation_losses` defines them.

    Attributes:
        mse_weight: squared distance between the student's and the target vector: the loss of HPD (Zhao et al. 2022,
            arXiv:2203.07687).
        similarity_weight: squared error of the cosines between the texts of a batch: similarity-preserving distillation
            (Tung & Mori 2019, arXiv:1907.09682).
        kl_weight: KL divergence of the softmax over the cosines of a text with the other texts of its batch: a listwise
            ranking loss, as in ListNet (Cao et al. 2007).
        temperature: softmax temperature of the KL term. A lower one weighs the nearest neighbors more.
        matryoshka_dims: the similarity and KL terms are averaged over the full vectors and the vectors truncated to
            these dimensions (Kusupati et al. 2022, arXiv:2205.13147).
    """

    mse_weight: float = 2.0
    similarity_weight: float = 20.0
    kl_weight: float = 0.0
    temperature: float = 0.05
    matryoshka_dims: tuple[int, ...] = (128,)


@dataclass(frozen=True)
class TrainingSpec:
    """The settings of the training loop. The optimizer is AdamW (Loshchilov & Hutter, arXiv:1711.05101).

    Attributes:
        epochs: passes over the training texts.
        minutes: train for this time instead, over and over the training texts, with a learning rate that falls until
            its end; 0 for no limit. The number of steps, and so the result, then depends on the machine.
        batch_size: texts per step. The similarity and KL terms compare the texts of a batch.
        learning_rate: its peak. The rate rises linearly during the warm-up and falls linearly to a twentieth.
        warmup: share of the steps, 0..1.
        weight_decay: of AdamW.
        max_norm: gradients are clipped to this length.
        max_tokens: training texts are truncated to this many tokens.
        group_size: a batch consists of groups of this many texts that are near in the space (hard in-batch neighbors);
            1 for random batches.
        train_word_embeddings: whether the word-embedding table is trained too.
        n_trained_layers: train the head and only so many of the last layers; None for all layers. The others keep what
            the initial model has learned, and a step is faster.
        word_embedding_rate: its learning rate, as a share of that of the other tensors.
        ema_decay: the student is the exponential moving average of the weights over the steps with this decay a step
            (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780), 0..1; 0 for the weights themselves.
        n_measurements: measurements of the held-out agreement, which choose the checkpoint; None for 5 to 20, so that
            they take about a twentieth of the time.
        loss: weights of the loss terms.
        bfloat16: whether matrix products are computed in bfloat16; None to decide by a short measurement.
        seed: of the batches.
    """

    epochs: float = 2.0
    minutes: float = 0.0
    batch_size: int = 64
    learning_rate: float = 2e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_norm: float = 1.0
    max_tokens: int = 128
    group_size: int = 8
    train_word_embeddings: bool = False
    n_trained_layers: int | None = None
    word_embedding_rate: float = 1.0
    ema_decay: float = 0.0
    n_measurements: int | None = None
    loss: LossSpec = field(default_factory=LossSpec)
    bfloat16: bool | None = None
    seed: int = 0


@dataclass(frozen=True)
class GateSpec:
    """The least quality that an encoder must reach on held-out texts. The quality report compares neighbors.

    The defaults were chosen on 1,000 of 21,000 mixed texts with all-mpnet-base-v2 as the teacher and k = 10.

    Attributes:
        k: nearest neighbors that are compared.
        matryoshka_dims: the report also shows the agreement of vectors truncated to these dimensions. No gate uses it.
        min_relative_agreement: least agreement of the encoder as a share of the projection's. all-MiniLM-L6-v2, which
            was never trained on this teacher, reached 0.48: below a half, training has taught a Transformer nothing.
        max_export_loss: largest loss of agreement by int8 storage. The loss is rounding error, and float32 storage
            avoids it. 0.02 is slightly above the noise of 1,000 texts (0.01).
        min_above_bm25: least difference between the agreements of the encoder and of BM25, which needs no encoder.
        min_projection: below this agreement of the projection, the report recommends a larger dim or another space. No
            gate uses it, because the user chooses the dim. 256 directions reached 0.92, 128 reached 0.78, 64 reached
            0.64.
        seed: of the bootstrap.
    """

    k: int = 10
    matryoshka_dims: tuple[int, ...] = (128,)
    min_relative_agreement: float = 0.5
    max_export_loss: float = 0.02
    min_above_bm25: float = 0.01
    min_projection: float = 0.7
    seed: int = 0


@dataclass(frozen=True)
class AdoptSpec:
    """The settings of an adoption: how a model becomes an encoder without training.

    Attributes:
        dim: width of the vectors; None for the model's own, or that of a given space.
        matryoshka: keep the first `dim` dimensions of the model's own instead of projecting; it was trained for that.
        query_prompt: set before every query; None for what the model's folder states, else its family.
        document_prompt: set before every passage; None as above.
        max_tokens: longest window, in tokens of text. The model's own limit counts if it is smaller.
        precision: storage type of the weights.
        n_texts: of the texts, a new space is fitted to at most so many.
        n_checked: texts on which the encoder is compared with the model, at most a fifth if a space is fitted.
        k: nearest neighbors that are compared.
        min_cosine: least mean cosine between the encoder's vectors and the model's in the space.
        min_neighbors: least share of the model's k nearest neighbors in the space that are the encoder's too. int8
            storage costs a few: among 1,000 texts all-MiniLM-L6-v2 keeps 97 %.
        seed: of the draw of texts.

    Raises:
        ShapeError: dim, max_tokens, n_texts or n_checked is out of range.
    """

    dim: int | None = None
    matryoshka: bool = False
    query_prompt: str | None = None
    document_prompt: str | None = None
    max_tokens: int = 256
    precision: Precision = Precision.INT8
    n_texts: int = 10_000
    n_checked: int = 1_000
    k: int = 10
    min_cosine: float = 0.99
    min_neighbors: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"dim": 1, "max_tokens": 1, "n_texts": 1, "n_checked": 2 * self.k}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ShapeError(f"{name}: expected at least {lowest}, got {value}")


STATIC_TRAINING = TrainingSpec(
    epochs=10.0,
    batch_size=512,
    learning_rate=2e-3,
    weight_decay=0.0,
    loss=LossSpec(mse_weight=1.0, similarity_weight=20.0),
)
# A table fitted to 20,000 texts by least squares reached 0.27 of the projection's agreement.
STATIC_GATES = GateSpec(min_relative_agreement=0.25)


@dataclass(frozen=True)
class DistillSpec:
    """The settings of a distillation, beside its teacher, its student and its texts.

    Attributes:
        layers: the layers of the student to keep, as a count (evenly spaced) or as layer numbers; None for all.
        static: make a static encoder (a table of token vectors) instead of a Transformer.
        projection: of a new space. With None, the student keeps the space that its head maps into if that space belongs
            to this teacher; otherwise a new space is made with the defaults of ProjectionSpec.
        head_init: initial head, unless the student already maps into the space.
        ridge: regularization of the initial head, see `student.fit_head`. A student whose vectors all point in nearly
            one direction, as those of multilingual-e5 do, needs a smaller one.
        training: settings of the training loop; None for the defaults of the student's type. Its seed is ignored.
        gates: quality gates; None for the defaults of the student's type.
        n_held_out: texts that are not trained on, at most a tenth of all. They select the checkpoint and the report
            is computed on them. Among few texts, the nearest neighbors do not show fine differences.
        n_augmented: augmented texts per short training text (see augmentation.py).
        n_teacher_texts: training texts that the teacher embeds; None for all. The teacher assistant embeds the others.
        min_teacher_words: the teacher embeds only training texts of at least so many words, separated by white space;
            the teacher assistant embeds the others. An encoder that is both the assistant and the initial model learns
            passages from the teacher and stays as it is for short texts.
        ensemble_weight: weight of a second vector in the training target (multi-teacher distillation), beside weight 1
            of the teacher's vector. The second vector is that of the teacher assistant or, without one, of the
            untrained student.
        interpolate_init: share of the initial weights in the final ones, 0..1: WiSE-FT (Wortsman et al. 2022,
            arXiv:2109.01903). It preserves general quality.
        match_variance: rescale each dimension to the teacher's mean square, to this power: 0 for not at all, 1 for
            fully. Regression shrinks the dimensions that it predicts badly.
        shuffle: shuffle the training texts; otherwise the teacher embeds the first n_teacher_texts.
        trim_vocabulary: remove the tokens that no training text contains.
        vocabulary_size: keep only so many tokens: the special ones, the single characters, and those that are most
            frequent in the training texts; None for no limit. It trims the vocabulary as trim_vocabulary does.
        precision: storage type of the weights.
        int8_graph: whether an encoder with int8 weights has the graph model.int8.onnx too, which is faster on many
            processors. It holds the matrices of the layers again, half of the bytes of model.safetensors without the
            word embeddings.
        seed: of the split, the order, the augmentation and the training.
    """

    layers: int | tuple[int, ...] | None = None
    static: bool = False
    projection: ProjectionSpec | None = None
    head_init: HeadInit = HeadInit.RIDGE_TO_PROCRUSTES
    ridge: float = 0.02
    training: TrainingSpec | None = None
    gates: GateSpec | None = None
    n_held_out: int = 20_000
    n_augmented: int = 0
    n_teacher_texts: int | None = None
    min_teacher_words: int = 0
    ensemble_weight: float = 0.0
    interpolate_init: float = 0.0
    match_variance: float = 0.0
    shuffle: bool = True
    trim_vocabulary: bool = False
    vocabulary_size: int | None = None
    precision: Precision = Precision.INT8
    int8_graph: bool = True
    seed: int = 0

    @property
    def trims(self) -> bool:
        """Whether the vocabulary is trimmed."""
        return self.trim_vocabulary or self.vocabulary_size is not None

    def resolve_training(self) -> TrainingSpec:
        """Return the training settings with the defaults of the student's type and with this spec's seed."""
        return replace(self.training or (STATIC_TRAINING if self.static else TrainingSpec()), seed=self.seed)

    def resolve_gates(self) -> GateSpec:
        """Return the gates with the defaults of the student's type."""
        return self.gates or (STATIC_GATES if self.static else GateSpec())
