import numpy as np
import pytest

from hpdsearch.distillation.space.projection import Projection, ProjectionSpec, fit_projection
from hpdsearch.errors import ShapeError

N, WIDE, DIM = 200, 12, 5


def embeddings(seed: int = 0) -> np.ndarray:
    """Return an ellipsoid away from the origin (n, teacher_dim), no two of its axes equally long."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(WIDE, WIDE)))[0] * np.linspace(3, 0.5, WIDE)[:, None]
    return (rng.normal(size=(N, WIDE)) @ axes + 1.5 * rng.normal(size=WIDE)).astype(np.float32)


def fit_by_svd(rows: np.ndarray, *, centered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions (teacher_dim, teacher_dim) and their mean squares, by numpy's SVD of the full matrix."""
    rows = rows.astype(np.float64)
    rows = rows - rows.mean(axis=0) if centered else rows
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    return directions, sizes**2 / len(rows)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("whitening", [0.0, 0.25])
def test_directions_energy_and_scales_equal_the_svd_of_the_full_matrix(centered, whitening):
    rows = embeddings()
    found = fit_projection([rows], ProjectionSpec(DIM, centered=centered, whitening=whitening))
    directions, variance = fit_by_svd(rows, centered=centered)
    assert found.components.dtype == np.float32
    for component, direction, size in zip(found.components, directions, variance, strict=False):
        sign = np.sign(direction[np.abs(direction).argmax()])
        scale = (size / variance[0]) ** -whitening
        np.testing.assert_allclose(component, sign * scale * direction, atol=2e-5)
        assert component[np.abs(component).argmax()] > 0
    np.testing.assert_allclose(found.explained_energy, variance[:DIM].cumsum() / variance.sum(), rtol=1e-6)


def test_whitening_by_a_half_makes_all_directions_equally_large():
    rows = embeddings()
    found = fit_projection([rows], ProjectionSpec(DIM, whitening=0.5))
    sizes = (rows @ found.components.T).std(axis=0) ** 2 + (rows @ found.components.T).mean(axis=0) ** 2
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-4)


def test_centered_and_uncentered_fits_differ_if_the_mean_is_not_zero():
    rows = embeddings()
    centered, uncentred = (fit_projection([rows], ProjectionSpec(1, centered=value)) for value in (True, False))
    mean = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
    assert abs(uncentred.components[0] @ mean) > abs(centered.components[0] @ mean) + 0.1


@pytest.mark.parametrize("centered", [False, True])
def test_blocks_of_any_size_give_the_projection_of_one_block(centered):
    rows, spec = embeddings(), ProjectionSpec(DIM, centered=centered, whitening=0.125)
    whole = fit_projection([rows], spec)
    blocks = fit_projection(iter(np.split(rows, [0, 1, 3, 90, 90, 150])), spec)
    np.testing.assert_allclose(blocks.components, whole.components, atol=1e-6)
    np.testing.assert_allclose(blocks.explained_energy, whole.explained_energy, rtol=1e-12)


def test_a_narrower_projection_is_the_leading_part_of_a_wider_one():
    rows = embeddings()
    wide, narrow = (fit_projection([rows], ProjectionSpec(dim, whitening=0.2)) for dim in (WIDE, 3))
    np.testing.assert_array_equal(narrow.components, wide.components[:3])
    assert wide.explained_energy[-1] == pytest.approx(1)


def get_error(rows: np.ndarray, **spec: object) -> str:
    with pytest.raises(ShapeError) as caught:
        fit_projection([rows], ProjectionSpec(**spec))  # type: ignore[arg-type]
    return str(caught.value)


def test_rows_that_do_not_determine_a_projection_are_refused():
    rows = embeddings()
    assert get_error(rows[:7], dim=8) == "texts: expected at least 8 (dim), got 7; give more texts or a smaller --dim"
    assert get_error(rows, dim=13) == "dim: expected at most 12 (the teacher's width), got 13"
    same = np.repeat(rows[:2], 20, axis=0)
    assert "expected texts whose embeddings vary in 3 directions, got 2" in get_error(same, dim=3, whitening=0.1)
    assert "vary in 3 directions, got 1" in get_error(same, dim=3, whitening=0.1, centered=True)
    assert "got 0" in get_error(np.repeat(rows[:1], 20, axis=0), dim=3, centered=True)
    assert "got 0" in get_error(np.zeros_like(rows), dim=3)
    assert get_error(rows, dim=0) == "dim: expected at least 1, got 0"
    assert "whitening: expected 0..0.5, got 0.6" in get_error(rows, dim=3, whitening=0.6)
    with pytest.raises(ShapeError, match="texts: expected at least 3"):
        fit_projection([], ProjectionSpec(3))
    with pytest.raises(ShapeError, match="teacher embeddings"):
        fit_projection([rows, rows[:, :5]], ProjectionSpec(3))


def test_without_whitening_directions_beyond_the_rank_still_keep_all_cosines():
    rows = np.repeat(embeddings()[:2], 20, axis=0)
    found: Projection = fit_projection([rows], ProjectionSpec(DIM))
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(DIM), atol=1e-5)
    projected = rows @ found.components.T
    np.testing.assert_allclose(projected @ projected.T, rows @ rows.T, rtol=1e-4)
