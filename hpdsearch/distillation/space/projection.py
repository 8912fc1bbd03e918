"""The teacher's leading directions: moments summed over blocks in float64, eigenvectors, energy, a soft whitening."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix, require_matrix
from hpdsearch.errors import ShapeError


@dataclass(frozen=True)
class ProjectionSpec:
    """How the directions are chosen.

    Attributes:
        dim: width of the projected space.
        centred: directions of the covariance matrix (PCA) instead of the second-moment matrix. The map itself never
            subtracts the mean, so that a space stays a linear map.
        whitening: each direction is scaled by variance ** -whitening: 0 leaves the cosines of the leading directions
            as they are, 0.5 would whiten them.
    """

    dim: int = 256
    centred: bool = False
    whitening: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ShapeError(f"dim: expected at least 1, got {self.dim}")
        if not 0 <= self.whitening <= 0.5:
            raise ShapeError(f"whitening: expected 0..0.5, got {self.whitening}")


@dataclass(frozen=True)
class Projection:
    """A linear map teacher_dim -> dim.

    Attributes:
        components: (dim, teacher_dim), rows orthogonal, largest variance first; the first has length 1.
        energy: (dim,) share of the summed squares that the first 1, 2, ... directions explain, in 0..1, ascending.
    """

    components: Matrix
    energy: npt.NDArray[np.float64]


def fit_projection(blocks: Iterable[Matrix], spec: ProjectionSpec) -> Projection:
    """Fit the linear map onto the teacher's leading directions.

    The entry of largest size in each direction is positive, so the result does not depend on the eigensolver's signs.

    Args:
        blocks: teacher embeddings (rows, teacher_dim), in any number of blocks; only the moments are kept.
        spec: width and scaling.

    Raises:
        ShapeError: fewer texts than dim, a teacher narrower than dim, or directions without any variance.

    Source: Zhao et al. 2022, arXiv:2203.07687; they use the centred directions.
    """
    n_texts, total, moment = 0, np.zeros(0), np.zeros((0, 0))
    for block in blocks:
        if not n_texts:
            total, moment = np.zeros(block.shape[1]), np.zeros((block.shape[1], block.shape[1]))
        require_matrix(block, name="teacher embeddings", dim=len(total))
        rows = block.astype(np.float64)
        n_texts, total, moment = n_texts + len(rows), total + rows.sum(axis=0), moment + rows.T @ rows
    _require_enough(spec.dim, n_texts=n_texts, teacher_dim=len(total))
    mean = total / n_texts
    moment = moment / n_texts - (np.outer(mean, mean) if spec.centred else 0)
    values, vectors = np.linalg.eigh(moment)  # smallest first, one eigenvector a column
    variance, directions = values[::-1][: spec.dim], vectors.T[::-1][: spec.dim]
    # Relative to the uncentred moments: centring leaves rounding errors of their size where nothing varies.
    rank = int((variance > 1e-12 * (np.trace(moment) + spec.centred * mean @ mean)).sum())
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
