"""Rescoring batches of candidates: against the cosines of one pair after the other."""

import numpy as np
import pytest
from vectors import make_ellipsoid, write_vector_file

from hpdsearch.common.vectors import cosines
from hpdsearch.dense import VectorFile, rescoring
from hpdsearch.dense.rescoring import score_and_sort

N, DIM = 3_000, 24
VECTORS, QUERIES = make_ellipsoid(N, DIM), make_ellipsoid(30, DIM, seed=1)
VECTORS[7] = 0


class CountingFile(VectorFile):
    """A vectors file that counts the rows it reads."""

    n_read = 0

    def stored_rows(self, positions):
        self.n_read += len(positions)
        return super().stored_rows(positions)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rescoring") / "v.f16"
    write_vector_file(path, VECTORS)
    return CountingFile(path, N, DIM)


def draw_candidates(n, *, none=0.0):
    """Return different positions (30, n) of each query, some of them -1; all queries share a few rows."""
    rng = np.random.default_rng(n)
    positions = np.stack([rng.choice(N, n, replace=False) for _ in QUERIES])
    positions[rng.random(positions.shape) < none] = -1
    return positions


def expect(positions):
    """Return scored and sorted candidates, computed pair by pair."""
    stored = VECTORS.astype("<f2")
    lists = []
    for query, row in zip(QUERIES, positions, strict=True):
        scored = [(-float(cosines(query, stored[[p]])[0]), p) if p >= 0 else (np.inf, -1) for p in row.tolist()]
        lists.append(sorted(scored))
    return np.array([[p for _, p in one] for one in lists]), -np.array([[s for s, _ in one] for one in lists])


@pytest.mark.parametrize("n", [1, 2, 5, 300])
@pytest.mark.parametrize("none", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dense_rows", [0, 1 << 20])
def test_batches_get_the_bits_of_single_pairs(file, monkeypatch, n, none, dense_rows):
    monkeypatch.setattr(rescoring, "DENSE_ROWS", dense_rows)
    monkeypatch.setattr(rescoring, "BLOCK_ROWS", 100)
    monkeypatch.setattr(rescoring, "BLOCK_PAIRS", 64)
    monkeypatch.setattr(rescoring, "TASK_PAIRS", 500)
    positions = draw_candidates(n, none=none)
    expected_positions, expected_scores = expect(positions)
    for max_bytes in (1, 7 * n * DIM * 2, 1 << 27):
        monkeypatch.setattr(rescoring, "MAX_BYTES", max_bytes)
        found, scores = score_and_sort(file, QUERIES, positions.copy())
        np.testing.assert_array_equal(found, expected_positions)
        np.testing.assert_array_equal(scores.astype(np.float64), expected_scores)


def test_a_row_is_read_once_for_all_queries(file):
    positions = draw_candidates(1000)
    file.n_read = 0
    score_and_sort(file, QUERIES, positions)
    assert file.n_read == len(np.unique(positions))


def test_candidates_are_not_changed(file):
    positions = draw_candidates(20)
    before = positions.copy()
    score_and_sort(file, QUERIES, positions)
    np.testing.assert_array_equal(positions, before)
