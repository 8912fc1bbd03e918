import numpy as np
import pytest

from hpdsearch.common import vectors as vectors_module
from hpdsearch.common.vectors import cosines, require_matrix, unit_rows
from hpdsearch.errors import ShapeError


def test_unit_rows_equal_hand_arithmetic():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]]))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.array([[0.6, 0.8], [0.0, -1.0], [0.0, 0.0]], np.float32))


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e6, 1e15])
def test_unit_rows_have_length_1_whatever_their_size(scale):
    rows = np.random.default_rng(0).normal(size=(50, 7)) * scale
    np.testing.assert_allclose((unit_rows(rows).astype(float) ** 2).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit_rows(rows), unit_rows(rows / scale), atol=1e-6)


def test_unit_rows_leaves_its_argument_unchanged_and_accepts_an_empty_array():
    rows = np.array([[3.0, 4.0]], np.float32)
    unit_rows(rows)
    np.testing.assert_array_equal(rows, [[3.0, 4.0]])
    assert unit_rows(np.empty((0, 5))).shape == (0, 5)


def test_cosines_equal_hand_arithmetic():
    query = np.array([0.6, 0.8], np.float32)
    rows = np.array([[6.0, 8.0], [-0.3, -0.4], [-8.0, 6.0], [5.0, 0.0], [0.0, 0.0], [7.0, 1.0]], np.float32)
    scores = cosines(query, rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [1, -1, 0, 0.6, 0, 5 / 50**0.5], atol=2e-7)
    assert len(cosines(query, rows[:0])) == 0


@pytest.mark.parametrize("dim", [1, 2, 5, 128, 256])
def test_cosines_stay_within_minus_1_and_1(dim):
    rows = np.random.default_rng(dim).normal(size=(500, dim)).astype(np.float32)
    for row in rows[:50]:
        query = unit_rows(row[None])[0]
        scores = cosines(query, np.concatenate([rows, -rows]))
        assert scores.min() >= -1
        assert scores.max() <= 1
        assert scores[:500].max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 3, 5, 64, 128, 255, 768])
def test_equal_rows_get_equal_cosines_at_every_position(dim):
    rng = np.random.default_rng(dim)
    for n in (2, 3, 8, 17, 100, 1001):
        row, query = rng.normal(size=dim).astype(np.float16), unit_rows(rng.normal(size=(1, dim)))[0]
        rows = rng.normal(size=(n, dim)).astype(np.float16)
        places = np.unique(rng.integers(0, n, 10))
        rows[places] = row
        (alone,) = cosines(query, row[None]).tolist()
        for matrix in (rows, np.asfortranarray(rows), rows[::-1]):
            np.testing.assert_array_equal(cosines(query, matrix)[(matrix == row).all(axis=1)], alone)


def test_the_error_of_require_matrix_names_both_shapes():
    require_matrix(np.zeros((0, 3)), name="vectors", dim=3)
    require_matrix(np.ones((4, 3), np.float16), name="vectors", dim=3)
    for array, shape in [
        (np.zeros(3), r"\(3,\)"),
        (np.zeros((3, 4)), r"\(3, 4\)"),
        (np.zeros((1, 3, 3)), r"\(1, 3, 3\)"),
    ]:
        with pytest.raises(ShapeError, match=rf"^vectors: expected shape \(n, 3\), got {shape}$"):
            require_matrix(array, name="vectors", dim=3)
    for bad in (np.nan, np.inf, -np.inf):
        array = np.zeros((5, 3), np.float32)
        array[2:, 1] = bad
        with pytest.raises(ShapeError, match=r"^vectors: expected finite values, got NaN or infinity in row 2$"):
            require_matrix(array, name="vectors", dim=3)


def test_float16_is_widened_without_loss():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 128)
    wide = vectors_module._float64(finite)
    assert finite.size > vectors_module.LARGE_FLOAT16
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, finite.astype(np.float64))
    np.testing.assert_array_equal(np.signbit(wide), np.signbit(finite))
    np.testing.assert_array_equal(vectors_module._float64(finite[:, ::2]), finite[:, ::2].astype(np.float64))
