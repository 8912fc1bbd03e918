from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpdsearch.distillation.data.stored_rows import BLOCK, store_rows

N_ROWS, DIM = 3 * BLOCK + 5, 3
ROWS = np.random.default_rng(0).normal(size=(N_ROWS, DIM)).astype(np.float32)


def record(asked: list[int], *, after: int = 99) -> Callable[[slice], np.ndarray]:
    """Return a function that notes which blocks it computes, and is interrupted after some of them."""

    def compute(rows: slice) -> np.ndarray:
        if len(asked) == after:
            raise KeyboardInterrupt
        asked.append(rows.start // BLOCK)
        return ROWS[rows]

    return compute


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of stored rows of which two blocks are complete."""
    with pytest.raises(KeyboardInterrupt):
        store_rows(tmp_path / "x" / "rows.f16", (N_ROWS, DIM), record([], after=2))
    return tmp_path / "x" / "rows.f16"


def assert_stored(path: Path, recomputed: list[int]) -> None:
    """Check the rows, and which blocks are computed."""
    asked: list[int] = []
    np.testing.assert_array_equal(store_rows(path, (N_ROWS, DIM), record(asked)), ROWS.astype(np.float16))
    assert asked == recomputed


def test_stored_rows_are_computed_once(tmp_path):
    assert_stored(tmp_path / "rows.f16", [0, 1, 2, 3])
    assert_stored(tmp_path / "rows.f16", [])
    assert (tmp_path / "rows.f16").stat().st_size == N_ROWS * DIM * 2


def test_an_interrupted_computation_continues_behind_the_last_complete_block(path):
    assert_stored(path, [2, 3])


def test_a_block_that_was_cut_or_altered_is_computed_again(path):
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-1])
    assert_stored(path, [1, 2, 3])
    content = bytearray(path.read_bytes())
    content[BLOCK * DIM * 2 + 7] ^= 1
    path.write_bytes(content)
    assert_stored(path, [1, 2, 3])
    path.unlink()
    assert_stored(path, [0, 1, 2, 3])


def test_a_block_without_a_whole_checksum_is_computed_again(path):
    sums = path.with_suffix(".sha256")
    sums.write_bytes(sums.read_bytes()[:-1])
    assert_stored(path, [1, 2, 3])
    sums.unlink()
    assert_stored(path, [0, 1, 2, 3])
