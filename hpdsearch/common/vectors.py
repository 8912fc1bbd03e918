"""Array types, shape checks, unit length and exact cosines."""

import numpy as np
import numpy.typing as npt

from hpdsearch.errors import ShapeError

Matrix = npt.NDArray[np.float32]  # (n, dim)
Scores = npt.NDArray[np.float32]  # (n,) or (n_queries, n)
Rows = npt.NDArray[np.int64]  # (n,) or (n_queries, n)
Mask = npt.NDArray[np.bool_]  # (n,)
Stored = npt.NDArray[np.float16]  # (n, dim), as vectors files hold them
LARGE_FLOAT16 = 16_384  # values; from here on the bit conversion below is faster than numpy's


def require_matrix(array: np.ndarray, *, name: str, dim: int) -> None:
    """Check shape and values here: faiss would fail with an empty AssertionError.

    Raises:
        ShapeError: the array is not (n, dim), or holds NaN or infinity.
    """
    if array.ndim != 2 or array.shape[1] != dim:
        raise ShapeError(f"{name}: expected shape (n, {dim}), got {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ShapeError(f"{name}: expected finite values, got NaN or infinity in row {row}")


def unit_rows(array: np.ndarray) -> Matrix:
    """Return the rows of array (n, dim) scaled to length 1, as float32; a zero row stays zero."""
    # With another memory order numpy adds up each row differently, and equal rows would get unequal lengths.
    matrix = np.asarray(array, dtype=np.float32, order="C")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms == 0, 1, norms), dtype=np.float32)


def cosines(queries: np.ndarray, rows: np.ndarray) -> Scores:
    """Return the cosine of each row with a query.

    Sums are float64 and rounded to 7 decimals, so equal rows get equal scores in any matrix and at any position.

    Args:
        queries: (dim,), one for all rows, or (n, dim), one for each row; unit length.
        rows: (n, dim), any length; float16 or float32.

    Returns:
        cosines (n,) in [-1, 1]; 0 for a zero row.
    """
    # For matrices in C order einsum adds up each row by itself, in an order that depends on dim only.
    wide = _float64(rows)
    products = np.einsum("ij,j->i" if queries.ndim == 1 else "ij,ij->i", wide, queries.astype(np.float64, order="C"))
    return round_scores(products / _norms(wide))


def inner_products(queries: npt.NDArray[np.float64], rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the inner products (n, k) of queries (n, dim) with rows (n, k, dim) of their own, as in `cosines`."""
    products: npt.NDArray[np.float64] = np.einsum("ikj,ij->ik", _float64(rows), queries)
    return products


def norms(rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the length (n,) of each row (n, dim); 1 for a zero row."""
    return _norms(_float64(rows))


def _norms(wide: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    found[found == 0] = 1
    return found


def round_scores(found: npt.NDArray[np.float64]) -> Scores:
    """Return cosines within -1..1, rounded to 7 decimals: the last step of `cosines`."""
    rounded: Scores = np.minimum(np.maximum(found, -1.0), 1.0).round(7).astype(np.float32)
    return rounded


def cosine_matrix(queries: np.ndarray, rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the cosines (n_queries, n_rows) of vectors (n_queries, dim) and (n_rows, dim) of any length.

    See `paired_cosines` for their precision.
    """
    return _round_cosines(_unit_rows_float64(queries) @ _unit_rows_float64(rows).T)


def paired_cosines(a: np.ndarray, b: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the cosine (n,) of each row of a (n, dim) with the same row of b (n, dim), of any length.

    Lengths and sums are float64. float32 rounds each component by at most 2^-24 of it, and so moves the cosine of two
    vectors by at most 2 x 2^-24 = 1.2e-7. Cosines are rounded to 6 decimals, the last that this noise does not reach.
    """
    return _round_cosines(np.einsum("ij,ij->i", _unit_rows_float64(a), _unit_rows_float64(b)))


def _unit_rows_float64(array: np.ndarray) -> npt.NDArray[np.float64]:
    wide = np.asarray(array, dtype=np.float64, order="C")
    units: npt.NDArray[np.float64] = wide / _norms(wide)[:, None]
    return units


def _round_cosines(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    cosines: npt.NDArray[np.float64] = np.clip(products, -1, 1).round(6)
    return cosines


def _float64(rows: np.ndarray) -> npt.NDArray[np.float64]:
    """Return finite values (n, dim) as float64, in C order; large float16 arrays in half the time of numpy."""
    if rows.dtype != np.float16 or rows.size < LARGE_FLOAT16:
        return np.asarray(rows, np.float64, order="C")
    # Exponent and mantissa of a float16, moved to their places in a float32, are its value times 2^-112.
    bits = np.ascontiguousarray(rows).view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70002000)  # keep the sign, which moved with the upper bits, and clear the other upper bits
    values: npt.NDArray[np.float32] = bits.view(np.float32)
    values *= np.float32(2.0**112)  # in place: another array would be new pages, which take longer than all the rest
    return values.astype(np.float64)
