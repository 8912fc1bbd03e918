"""The quality report of a distillation and its gates, on held-out texts.

The 10 nearest neighbors of each text by the teacher's full embeddings are compared with its nearest neighbors by the
projection alone, by the trained student, by the exported encoder, by BM25 and by the built-in base. The agreement is
the mean share of the teacher's neighbors that are found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.distillation.spec import GateSpec
from hpdsearch.distillation.translations import TranslationQuality
from hpdsearch.errors import ShapeError
from hpdsearch.evaluation import nearest_neighbors, neighbor_overlap, paired_bootstrap
from hpdsearch.evaluation.metrics import Rows, Scores
from hpdsearch.lexical import temporary_bm25_index

PROJECTION, STUDENT, ENCODER, BM25, BUILT_IN_BASE = "projection", "student", "encoder", "bm25", "built-in base"


@dataclass(frozen=True)
class Estimate:
    """A mean over the held-out texts and its 95 % interval, in 0..1."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        mean, low, high = (format_percent(share) for share in (self.mean, self.low, self.high))
        return f"{mean} ({low} to {high})"


@dataclass(frozen=True)
class QualityReport:
    """The quality of an encoder on held-out texts.

    Attributes:
        n_texts: held-out texts.
        k: neighbors that are compared.
        agreements: mean share of the teacher's k nearest that is found, 0..1, by system ("projection", "student",
            "encoder", "bm25", "built-in base") and, for truncated vectors, by system and width ("encoder, 128").
        cosine: mean cosine between the encoder's vectors and the teacher's in the space.
        passed: whether every gate is passed.
        summary: the report as sentences, with one recommendation per failed gate.
        translations: of held-out translations; None without any. No gate uses it.
    """

    n_texts: int
    k: int
    agreements: Mapping[str, Estimate]
    cosine: float
    passed: bool
    summary: tuple[str, ...]
    translations: TranslationQuality | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values. This is the content of quality.json."""
        agreements = self.agreements.items()
        quality: dict[str, Any] = {
            "n_texts": self.n_texts,
            "k": self.k,
            "agreement": {name: round(estimate.mean, 6) for name, estimate in agreements},
            "interval": {name: [round(estimate.low, 6), round(estimate.high, 6)] for name, estimate in agreements},
            "cosine": round(self.cosine, 6),
            "passed": self.passed,
            "summary": list(self.summary),
        }
        if self.translations:
            found = self.translations.found.items()
            quality["translations"] = {
                "n": dict(self.translations.counts),
                "found": {name: round(share, 6) for name, share in found},
                "mean": round(self.translations.mean, 6),
            }
        return quality


@dataclass(frozen=True)
class Gate:
    """A condition on the held-out texts.

    Attributes:
        condition: a sentence.
        margins: (n,) by how much each text exceeds the condition. The gate is passed if their mean is >= 0.
        recommendation: what to change if the gate is not passed.
    """

    condition: str
    margins: Scores
    recommendation: str

    @property
    def passed(self) -> bool:
        """Whether the gate is passed."""
        return float(self.margins.mean()) >= 0

    def describe(self, seed: int) -> str:
        """Describe the outcome, and whether it could be different on other texts."""
        low, high = paired_bootstrap(self.margins, seed)
        doubt = f"; {len(self.margins)} texts are too few to be sure" if low < 0 <= high else ""
        outcome = f"passed: {self.condition}{doubt}" if self.passed else f"FAILED: {self.condition}{doubt}"
        return outcome if self.passed else f"{outcome}. Try {self.recommendation}."


def format_percent(share: float) -> str:
    """Format a share in 0..1 as a percentage with one decimal: 65.4. Report, model card and output use it."""
    return f"{100 * share:.1f}"


def evaluate_gates(
    texts: Sequence[str],
    *,
    teacher: Matrix,
    projected: Matrix,
    student: Matrix,
    encoder: Matrix,
    spec: GateSpec,
    built_in: Matrix | None = None,
    translations: TranslationQuality | None = None,
) -> QualityReport:
    """Compare the nearest neighbors of each stage with the teacher's.

    Args:
        texts: n held-out texts, n > k, for BM25.
        teacher: the teacher's embeddings (n, teacher_dim).
        projected: the teacher's embeddings in the space (n, dim).
        student: vectors of the trained student (n, dim).
        encoder: vectors of the exported encoder (n, dim).
        spec: the gates.
        built_in: vectors of the built-in base, of any width, (n, width); None to leave it out.
        translations: of held-out translations, for the report.

    Raises:
        ShapeError: the shapes do not fit, or n <= k.
    """
    vectors = {PROJECTION: projected, STUDENT: student, ENCODER: encoder}
    shapes = {name: array.shape for name, array in vectors.items()}
    n_texts = len(texts)
    dim = projected.shape[1]
    if {*shapes.values()} != {(n_texts, dim)} or len(teacher) != n_texts:
        raise ShapeError(f"held-out vectors: expected those of {n_texts} texts, got {shapes}, teacher {teacher.shape}")
    expected = nearest_neighbors(teacher, spec.k)
    shares = {name: neighbor_overlap(nearest_neighbors(array, spec.k), expected) for name, array in vectors.items()}
    shares[BM25] = neighbor_overlap(bm25_neighbors(texts, spec.k), expected)
    if built_in is not None:
        shares[BUILT_IN_BASE] = neighbor_overlap(nearest_neighbors(built_in, spec.k), expected)
    widths = [width for width in spec.matryoshka_dims if width < dim]
    shares |= {
        f"{name}, {width}": neighbor_overlap(nearest_neighbors(array[:, :width], spec.k), expected)
        for width in widths
        for name, array in vectors.items()
    }
    agreements = {
        name: Estimate(float(share.mean()), *paired_bootstrap(share, spec.seed)) for name, share in shares.items()
    }
    cosine = float((unit_rows(encoder) * unit_rows(projected)).sum(axis=1).mean())
    gates = _build_gates(shares, spec)
    findings = _describe_findings(agreements, cosine, n_texts, dim, widths, spec)
    if translations:
        findings.append(_describe_translations(translations))
    return QualityReport(
        n_texts=n_texts,
        k=spec.k,
        agreements=agreements,
        cosine=cosine,
        passed=all(gate.passed for gate in gates),
        summary=(*findings, *(gate.describe(spec.seed) for gate in gates)),
        translations=translations,
    )


def bm25_neighbors(texts: Sequence[str], k: int) -> list[Rows]:
    """Return for each text the rows of the k other texts with the highest BM25 scores, best first.

    There are fewer rows if fewer texts share a term with the text.
    """
    with temporary_bm25_index(texts) as reader:
        found = [reader.search(text, k + 1)[0] for text in texts]
    return [rows[rows != own][:k] for own, rows in enumerate(found)]


def _build_gates(shares: Mapping[str, Scores], spec: GateSpec) -> list[Gate]:
    ratio = shares[ENCODER].mean() / max(float(shares[PROJECTION].mean()), 1e-9)
    loss = shares[STUDENT].mean() - shares[ENCODER].mean()
    above = shares[ENCODER].mean() - shares[BM25].mean()
    train_more = "more texts, more epochs, or a larger student (more --layers)"
    beat_bm25 = train_more
    if shares[PROJECTION].mean() < shares[BM25].mean() + spec.min_above_bm25:
        beat_bm25 = "a larger --dim, another --space or another teacher: the projection is not above BM25 either"
    return [
        Gate(
            f"the encoder reaches {format_percent(ratio)} % of the projection's agreement, at least "
            f"{100 * spec.min_relative_agreement:g} required",
            shares[ENCODER] - spec.min_relative_agreement * shares[PROJECTION],
            train_more,
        ),
        Gate(
            f"the export costs {format_percent(loss)} points, at most {100 * spec.max_export_loss:g} allowed",
            shares[ENCODER] - shares[STUDENT] + spec.max_export_loss,
            "float32 weights instead of int8 (--float32)",
        ),
        Gate(
            f"the encoder is {format_percent(above)} points above BM25, at least {100 * spec.min_above_bm25:g} "
            "required",
            shares[ENCODER] - shares[BM25] - spec.min_above_bm25,
            beat_bm25,
        ),
    ]


def _describe_findings(
    agreements: Mapping[str, Estimate], cosine: float, n_texts: int, dim: int, widths: Sequence[int], spec: GateSpec
) -> list[str]:
    """Return the measurements as sentences."""
    projection, student, encoder = (agreements[name] for name in (PROJECTION, STUDENT, ENCODER))
    chance = format_percent(spec.k / (n_texts - 1))
    baselines = [f"BM25 {agreements[BM25]}", f"chance {chance}"]
    if BUILT_IN_BASE in agreements:
        baselines.insert(0, f"built-in base {agreements[BUILT_IN_BASE]}")
    lines = [
        f"quality:    share of the teacher's {spec.k} nearest neighbors that are found among {n_texts:,} held-out "
        "texts, in % (95 % interval)",
        f"baselines:  {', '.join(baselines)}",
        f"projection: {projection} at {dim} dimensions; it costs {format_percent(1 - projection.mean)} points",
        f"student:    {student}, {_describe_difference(student, projection)} the projection",
        f"encoder:    {encoder}, {_describe_difference(encoder, student)} the student; mean cosine to the teacher in "
        f"the space {cosine:.3f}",
    ]
    for width in widths:
        means = (
            f"{name} {format_percent(agreements[f'{name}, {width}'].mean)}" for name in (PROJECTION, STUDENT, ENCODER)
        )
        lines.append(f"truncated:  at {width} dimensions {', '.join(means)}")
    if projection.mean < spec.min_projection:
        lines.append(
            f"the projection reaches less than {100 * spec.min_projection:g} %: a larger --dim, or a space that "
            "is fitted to texts like these, would reach more"
        )
    return lines


def _describe_translations(translations: TranslationQuality) -> str:
    by_language = ", ".join(
        f"{name or 'no language'} {format_percent(share)}" for name, share in translations.found.items()
    )
    return (
        f"translated: {format_percent(translations.mean)} % of {translations.n_pairs:,} held-out translations are "
        f"nearest to their own text among {translations.n_texts:,}: {by_language}"
    )


def _describe_difference(one: Estimate, other: Estimate) -> str:
    difference = one.mean - other.mean
    return f"{format_percent(abs(difference))} points {'above' if difference > 0 else 'below'}"
