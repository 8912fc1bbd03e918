"""The projection of a new space: the leading directions of the teacher's embeddings, with optional soft whitening."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix, require_matrix
from hpdsearch.distillation.spec import ProjectionSpec
from hpdsearch.errors import ShapeError


@dataclass(frozen=True)
class Projection:
    """A linear map teacher_dim -> dim.

    Attributes:
        components: (dim, teacher_dim), rows orthogonal, largest variance first; the first row has unit length.
        explained_energy: (dim,) float64, ascending, in 0..1: the share of the teacher's summed squares that the first
            1, 2, ... directions explain. For centered directions this is the cumulative explained variance ratio.
    """

    components: Matrix
    explained_energy: npt.NDArray[np.float64]


def fit_projection(blocks: Iterable[Matrix], spec: ProjectionSpec) -> Projection:
    """Fit the linear map onto the teacher's leading directions.

    The entry of largest magnitude in each direction is positive, so the result does not depend on the signs that the
    eigensolver chooses.

    Args:
        blocks: teacher embeddings (rows, teacher_dim) float32, in any number of blocks. Only their moments, summed in
            float64, are held in memory.
        spec: width, centering and whitening.

    Raises:
        ShapeError: there are fewer embeddings than dim, the teacher is narrower than dim, or the embeddings vary in too
            few directions.

    Source: Zhao et al. 2022, arXiv:2203.07687, who use the centered directions.
    """
    n_texts = 0
    total = np.zeros(0)
    moment = np.zeros((0, 0))
    for block in blocks:
        if not n_texts:
            total = np.zeros(block.shape[1])
            moment = np.zeros((block.shape[1], block.shape[1]))
        require_matrix(block, name="teacher embeddings", dim=len(total))
        rows = block.astype(np.float64)
        n_texts += len(rows)
        total = total + rows.sum(axis=0)
        moment = moment + rows.T @ rows
    _require_enough(spec.dim, n_texts=n_texts, teacher_dim=len(total))
    mean = total / n_texts
    moment = moment / n_texts - (np.outer(mean, mean) if spec.centered else 0)
    values, vectors = np.linalg.eigh(moment)  # smallest first, one eigenvector a column
    variance = values[::-1][: spec.dim]
    directions = vectors.T[::-1][: spec.dim]
    # Relative to the uncentered moments: centering leaves rounding errors of their size where nothing varies.
    rank = int((variance > 1e-12 * (np.trace(moment) + spec.centered * mean @ mean)).sum())
    if rank < (spec.dim if spec.whitening else 1):
        raise ShapeError(
            f"dim: expected texts whose embeddings vary in {spec.dim} directions, got {rank}; give more different texts"
        )
    peaks = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    scales = (variance / variance[0]) ** -spec.whitening if spec.whitening else np.ones(spec.dim)
    components = directions * np.sign(peaks) * scales[:, None]
    return Projection(components.astype(np.float32), variance.cumsum() / np.trace(moment))


def _require_enough(dim: int, *, n_texts: int, teacher_dim: int) -> None:
    if n_texts < dim:
        raise ShapeError(f"texts: expected at least {dim} (dim), got {n_texts}; give more texts or a smaller --dim")
    if teacher_dim < dim:
        raise ShapeError(f"dim: expected at most {teacher_dim} (the teacher's width), got {dim}")
