"""The comparison of an adopted encoder with the model that it was made from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpdsearch.common.vectors import Matrix, paired_cosines
from hpdsearch.distillation.gates import format_percent
from hpdsearch.distillation.spec import AdoptSpec, Precision
from hpdsearch.encoder import Backend, Encoder, Space
from hpdsearch.encoder.folder import INT8_MODEL
from hpdsearch.errors import DistillError
from hpdsearch.evaluation import neighbor_agreement


@dataclass(frozen=True)
class Comparison:
    """An encoder compared with the model that it was made from, on texts of at most one window.

    Attributes:
        n_texts: texts compared.
        k: neighbors compared.
        cosine: mean cosine between the encoder's vectors and the model's in the space.
        lowest_cosine: the lowest one.
        query_cosine: mean cosine of the vectors of queries; None if queries have the prompt of documents.
        neighbors: share of the model's k nearest neighbors, by all its dimensions, that are the encoder's too.
        neighbors_of_space: the same share for the model's vectors in the space: what the projection leaves.
        neighbors_in_space: share of the neighbors by the model's vectors in the space that are the encoder's too.
        int8_cosine: mean cosine of the vectors of model.int8.onnx; None if there is none.
    """

    n_texts: int
    k: int
    cosine: float
    lowest_cosine: float
    query_cosine: float | None
    neighbors: float
    neighbors_of_space: float
    neighbors_in_space: float
    int8_cosine: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values. This is the content of quality.json."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}

    def describe(self) -> dict[str, str]:
        """Return the measurements by name, formatted."""
        compared = f"{self.n_texts:,} texts"
        share = f"% of the model's {self.k} nearest neighbors among {compared}"
        rows = {
            f"mean cosine to the model, {compared}": f"{self.cosine:.4f}",
            "lowest cosine": f"{self.lowest_cosine:.4f}",
            "mean cosine, queries": f"{self.query_cosine:.4f}" if self.query_cosine is not None else "",
            "mean cosine, products in int8": f"{self.int8_cosine:.4f}" if self.int8_cosine is not None else "",
            f"{share}, encoder": format_percent(self.neighbors),
            f"{share}, projection alone": format_percent(self.neighbors_of_space),
        }
        return {name: value for name, value in rows.items() if value}


def compare(
    folder: Path,
    space: Space,
    texts: Sequence[str],
    originals: Matrix,
    queries: Sequence[str],
    of_queries: Matrix,
    *,
    k: int,
) -> Comparison:
    """Compare the encoder in a folder with the model.

    Args:
        folder: of the encoder.
        space: of the encoder.
        texts: to compare on.
        originals: their vectors by the model, float32 (n, teacher_dim).
        queries: texts to compare as queries; empty if these have the prompt of documents.
        of_queries: their vectors by the model, as queries, (m, teacher_dim).
        k: nearest neighbors to compare.

    Raises:
        EncoderError: the encoder cannot be loaded.
    """
    encoder = Encoder.load(folder, backend=Backend.ONNX)
    projected = space.project(originals)
    ours = encoder.encode(texts)
    cosines = paired_cosines(ours, projected)
    query_cosine = None
    if queries:
        query_cosine = float(paired_cosines(encoder.encode_queries(queries), space.project(of_queries)).mean())
    int8_cosine = None
    if (folder / INT8_MODEL).is_file():
        int8 = Encoder.load(folder, backend=Backend.ONNX_INT8)
        int8_cosine = float(paired_cosines(int8.encode(texts), projected).mean())
    return Comparison(
        n_texts=len(texts),
        k=k,
        cosine=float(cosines.mean()),
        lowest_cosine=float(cosines.min()),
        query_cosine=query_cosine,
        neighbors=neighbor_agreement(ours, originals, k),
        neighbors_of_space=neighbor_agreement(projected, originals, k),
        neighbors_in_space=neighbor_agreement(ours, projected, k),
        int8_cosine=int8_cosine,
    )


def require_agreement(found: Comparison, spec: AdoptSpec, *, model: str, architecture: str) -> None:
    """Check that an encoder agrees with its model.

    Args:
        found: the comparison.
        spec: the least cosine and the least share of neighbors; its precision decides the advice.
        model: name of the model.
        architecture: its model_type.

    Raises:
        DistillError: it does not.
    """
    cosines = [cosine for cosine in (found.cosine, found.query_cosine, found.int8_cosine) if cosine is not None]
    if min(cosines) >= spec.min_cosine and found.neighbors_in_space >= spec.min_neighbors:
        return
    advice = (
        "store its weights in float32 (--precision float32)"
        if spec.precision is Precision.INT8
        else f"the export of {architecture} differs from the model; please report it"
    )
    raise DistillError(
        f"{model}: expected an encoder like the model, with a mean cosine of at least {spec.min_cosine:.7g} and "
        f"{100 * spec.min_neighbors:g} % of the {spec.k} nearest neighbors, got {min(cosines):.6f} and "
        f"{100 * found.neighbors_in_space:.1f} % on {found.n_texts} texts; {advice}"
    )
