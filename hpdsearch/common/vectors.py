"""float32 matrices: shape checks, unit length, exact inner products."""

import numpy as np
import numpy.typing as npt

from hpdsearch.errors import ShapeError

Matrix = npt.NDArray[np.float32]  # (n, dim)
Scores = npt.NDArray[np.float32]  # (n,) or (n_queries, n)
Rows = npt.NDArray[np.int64]  # (n,) or (n_queries, n)
Mask = npt.NDArray[np.bool_]  # (n,)
Stored = npt.NDArray[np.float16]  # (n, dim), as vectors files hold them
LARGE_FLOAT16 = 16_384


def require_matrix(array: np.ndarray, *, name: str, dim: int) -> None:
    """Raise ShapeError unless array is (n, dim) and finite: faiss would fail with an empty AssertionError."""
    if array.ndim != 2 or array.shape[1] != dim:
        raise ShapeError(f"{name}: expected shape (n, {dim}), got {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ShapeError(f"{name}: expected finite numbers, got NaN or infinity in row {row}")


def unit_rows(array: np.ndarray) -> Matrix:
    """Return the rows of array (n, dim) scaled to length 1, as float32; a zero row stays zero."""
    # In another order numpy sums each row differently, and equal rows would get unequal lengths.
    matrix = np.asarray(array, dtype=np.float32, order="C")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms == 0, 1, norms), dtype=np.float32)


def cosines(queries: np.ndarray, rows: np.ndarray) -> Matrix:
    """Return the cosines (n,) in [-1, 1] of rows (n, dim) of any length with one query (dim,), or one each (n, dim).

    Queries are of unit length. Summed in float64 and rounded to 7 decimals: equal rows get equal scores wherever they
    stand in the matrix, alone or among others. The cosine of a zero row is 0.
    """
    # Of matrices in C order einsum sums each row alone, in an order that depends on dim only.
    wide = _float64(rows)
    products = np.einsum("ij,j->i" if queries.ndim == 1 else "ij,ij->i", wide, queries.astype(np.float64, order="C"))
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    norms[norms == 0] = 1
    scores: Matrix = np.minimum(np.maximum(products / norms, -1.0), 1.0).round(7).astype(np.float32)
    return scores


def cosine_matrix(queries: np.ndarray, rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the cosines (n_queries, n_rows) of unit vectors (n_queries, dim) and (n_rows, dim).

    Sums are float64 and rounded to 7 decimals: equal rows get equal scores, wherever they are in the matrix.
    """
    scores: npt.NDArray[np.float64] = np.round(queries.astype(np.float64) @ rows.astype(np.float64).T, 7)
    return scores


def _float64(rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return finite numbers (n, dim) as float64, in C order; many halves in half the time that numpy takes for them."""
    if rows.dtype != np.float16 or rows.size < LARGE_FLOAT16:
        return np.asarray(rows, np.float64, order="C")
    # Exponent and mantissa of a half, moved to where a float32 has them, mean its value times 2^-112.
    bits = np.ascontiguousarray(rows).view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70002000)  # the sign went along with the upper bits, all others of those must go
    values: npt.NDArray[np.float32] = bits.view(np.float32) * np.float32(2.0**112)
    return values.astype(np.float64)
