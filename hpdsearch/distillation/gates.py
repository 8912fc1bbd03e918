"""The verdict on a distillation, on texts it never saw: which of the teacher's neighbours are found again, and why not.

Each text's ten nearest others by the teacher's full embeddings are compared with its nearest by the projection alone,
by the trained student, by the exported encoder, and by words (BM25).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.errors import ShapeError
from hpdsearch.evaluation import nearest_neighbors, neighbor_overlap, paired_bootstrap
from hpdsearch.evaluation.metrics import Rows, Scores
from hpdsearch.lexical import temporary_bm25_index

PROJECTION, STUDENT, ENCODER, BM25 = "projection", "student", "encoder", "bm25"  # what looks for the neighbours

MIN_KEPT_STATIC = 0.25  # min_kept for a static student: a table fitted to 20,000 texts by least squares kept 0.27


@dataclass(frozen=True)
class GateSpec:
    """What a distillation must reach on held-out texts.

    The figures behind the defaults: 1,000 of 21,000 mixed texts, all-mpnet-base-v2 as the teacher, 10 neighbours.

    Attributes:
        k: neighbours compared.
        prefixes: widths at which the first numbers of the vectors are reported too; they decide nothing.
        min_kept: the encoder's agreement as a share of the projection's. A MiniLM that never met this teacher kept
            0.48: below a half, training has taught a Transformer nothing. For a table see MIN_KEPT_STATIC.
        max_export_loss: agreement that storing the weights in int8 may cost. It is rounding, not learning, and can be
            had back with float32 weights; a fiftieth is hardly more than the noise of 1,000 texts (0.01).
        min_above_words: agreement that the encoder must have above BM25, which needs no encoder at all.
        min_projection: below this agreement of the projection the words advise a larger dim or another space; no
            failure, since the width is the user's choice. 256 directions kept 0.92, 128 0.78, 64 0.64.
        seed: of the bootstrap.
    """

    k: int = 10
    prefixes: tuple[int, ...] = (128,)
    min_kept: float = 0.5
    max_export_loss: float = 0.02
    min_above_words: float = 0.01
    min_projection: float = 0.7
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A mean over the held-out texts and its 95 % interval, as shares."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        n_texts: held-out texts.
        k: neighbours compared.
        agreements: mean share of the teacher's k nearest that is found, 0..1, of each system ("projection",
            "student", "encoder", "bm25"); at a prefix by system and width ("encoder, 128").
        cosine: mean cosine of the encoder's vectors to the teacher's in the space.
        passed: whether every gate is passed.
        lines: all that in words, in per cent, and what to change if it did not pass.
    """

    n_texts: int
    k: int
    agreements: Mapping[str, Estimate]
    cosine: float
    passed: bool
    lines: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        found = self.agreements.items()
        return {
            "n_texts": self.n_texts,
            "k": self.k,
            "agreement": {name: round(estimate.mean, 6) for name, estimate in found},
            "interval": {name: [round(estimate.low, 6), round(estimate.high, 6)] for name, estimate in found},
            "cosine": round(self.cosine, 6),
            "passed": self.passed,
            "lines": list(self.lines),
        }


@dataclass(frozen=True)
class Gate:
    """One demand: what is demanded, by how much each text is above it, and what to change if the mean is not.

    Attributes:
        demand: in words.
        margins: (n,) of each text; the gate is passed if their mean is >= 0.
        advice: in words.
    """

    demand: str
    margins: Scores
    advice: str

    @property
    def passed(self) -> bool:
        """Whether the demand is met."""
        return float(self.margins.mean()) >= 0

    def line(self, seed: int) -> str:
        """Return the outcome in words, and whether other texts could have turned it."""
        low, high = paired_bootstrap(self.margins, seed)
        doubt = f"; {len(self.margins)} texts are too few to be sure" if low < 0 <= high else ""
        return f"{'passed' if self.passed else 'FAILED'}: {self.demand}{doubt}" + (
            "" if self.passed else f". To change it: {self.advice}."
        )


def judge(
    texts: Sequence[str], *, teacher: Matrix, projected: Matrix, student: Matrix, encoder: Matrix, spec: GateSpec
) -> Verdict:
    """Compare the neighbours that each stage finds among held-out texts with the teacher's.

    Args:
        texts: n held out, n > k; for BM25.
        teacher: the teacher's embeddings of them (n, teacher_dim).
        projected: these in the space (n, dim).
        student: the trained student's vectors (n, dim).
        encoder: those of the exported folder (n, dim).
        spec: what is demanded.

    Raises:
        ShapeError: the arrays are not of the same texts, or there are not more than k of them.
    """
    vectors = {PROJECTION: projected, STUDENT: student, ENCODER: encoder}
    shapes = {name: array.shape for name, array in vectors.items()}
    n_texts, dim = len(texts), projected.shape[1]
    if {*shapes.values()} != {(n_texts, dim)} or len(teacher) != n_texts:
        raise ShapeError(f"held-out vectors: expected those of {n_texts} texts, got {shapes}, teacher {teacher.shape}")
    wanted = nearest_neighbors(teacher, spec.k)
    shares = {name: neighbor_overlap(nearest_neighbors(array, spec.k), wanted) for name, array in vectors.items()}
    shares[BM25] = neighbor_overlap(neighbours_by_words(texts, spec.k), wanted)
    prefixes = [width for width in spec.prefixes if width < dim]
    shares |= {
        f"{name}, {width}": neighbor_overlap(nearest_neighbors(array[:, :width], spec.k), wanted)
        for width in prefixes
        for name, array in vectors.items()
    }
    agreements = {
        name: Estimate(float(share.mean()), *paired_bootstrap(share, spec.seed)) for name, share in shares.items()
    }
    cosine = float((unit_rows(encoder) * unit_rows(projected)).sum(axis=1).mean())
    gates = _gates(shares, spec)
    lines = _findings(agreements, cosine, n_texts, dim, prefixes, spec)
    return Verdict(
        n_texts=n_texts,
        k=spec.k,
        agreements=agreements,
        cosine=cosine,
        passed=all(gate.passed for gate in gates),
        lines=(*lines, *(gate.line(spec.seed) for gate in gates)),
    )


def neighbours_by_words(texts: Sequence[str], k: int) -> list[Rows]:
    """Return for each text the rows of the k others that BM25 finds for it as a query, best first.

    They are fewer where fewer share a word with it.
    """
    with temporary_bm25_index(texts) as reader:
        found = [reader.search(text, k + 1)[0] for text in texts]
    return [rows[rows != own][:k] for own, rows in enumerate(found)]


def _gates(shares: Mapping[str, Scores], spec: GateSpec) -> list[Gate]:
    kept = shares[ENCODER].mean() / max(float(shares[PROJECTION].mean()), 1e-9)
    lost = shares[STUDENT].mean() - shares[ENCODER].mean()
    above = shares[ENCODER].mean() - shares[BM25].mean()
    learn = "more texts, more epochs, or a larger student (more --layers)"
    words = learn
    if shares[PROJECTION].mean() < shares[BM25].mean() + spec.min_above_words:
        words = "a larger --dim, another --space or another teacher: the projection is not above BM25 either"
    return [
        Gate(
            f"the encoder keeps {100 * kept:.1f} % of the projection's share, at least {100 * spec.min_kept:g} wanted",
            shares[ENCODER] - spec.min_kept * shares[PROJECTION],
            learn,
        ),
        Gate(
            f"the export costs {100 * lost:.1f} points, at most {100 * spec.max_export_loss:g} allowed",
            shares[ENCODER] - shares[STUDENT] + spec.max_export_loss,
            "float32 weights instead of int8",
        ),
        Gate(
            f"the encoder is {100 * above:.1f} points above BM25, at least {100 * spec.min_above_words:g} wanted",
            shares[ENCODER] - shares[BM25] - spec.min_above_words,
            words,
        ),
    ]


def _findings(
    found: Mapping[str, Estimate], cosine: float, n_texts: int, dim: int, prefixes: Sequence[int], spec: GateSpec
) -> list[str]:
    """Return what was measured, in words."""
    projection, student, encoder = (found[name] for name in (PROJECTION, STUDENT, ENCODER))
    lines = [
        f"{n_texts:,} held-out texts: per cent of the teacher's {spec.k} nearest among them that are found again (95 % "
        f"interval); {100 * spec.k / (n_texts - 1):.1f} by chance, {found[BM25]} by words (BM25)",
        f"projection to {dim}: {projection}, so it alone costs {100 * (1 - projection.mean):.1f}",
        f"student: {student}, {_apart(student, projection)} the projection",
        f"encoder as exported: {encoder}, {_apart(encoder, student)} the student; mean cosine to the teacher in the "
        f"space {cosine:.3f}",
    ]
    for width in prefixes:
        means = {name: 100 * found[f"{name}, {width}"].mean for name in (PROJECTION, STUDENT, ENCODER)}
        lines.append(f"first {width} numbers alone: {', '.join(f'{name} {mean:.1f}' for name, mean in means.items())}")
    if projection.mean < spec.min_projection:
        lines.append(
            f"the projection keeps less than {100 * spec.min_projection:g} %: a larger --dim, or a space fitted on "
            "texts like these, would keep more"
        )
    return lines


def _apart(one: Estimate, other: Estimate) -> str:
    difference = 100 * (one.mean - other.mean)
    return f"{abs(difference):.1f} {'above' if difference > 0 else 'below'}"
