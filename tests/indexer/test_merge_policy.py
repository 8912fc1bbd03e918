"""The merge policy: additions stay cheap, segments stay few, and large segments are rewritten by large changes only."""

import math

import pytest

from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY as POLICY

SMALL = POLICY.small_segment_rows
LARGE = POLICY.max_rewritten_rows


def grow(n: int, added: int) -> tuple[list[int], int]:
    """Return the sizes of the segments after n additions of `added` rows, and the total of written rows."""
    sizes: list[int] = []
    n_written = 0
    for _ in range(n):
        tail = sizes.pop() if sizes and POLICY.is_small(sizes[-1]) else 0
        new = tail + added
        n_written += new
        first = POLICY.first_segment_to_merge(sizes, new)
        if first < len(sizes):
            new += sum(sizes[first:])
            n_written += new
        sizes = [*sizes[:first], new]
    return sizes, n_written


@pytest.mark.parametrize(("n", "added"), [(10_000, 1), (100_000, 1), (3_000, 37), (500, 2_000)])
def test_additions_leave_few_segments_and_rewrite_rows_rarely(n: int, added: int) -> None:
    sizes, n_written = grow(n, added)
    total = n * added
    assert sum(sizes) == total
    assert len(sizes) <= math.log2(total / SMALL) + 2 + total / LARGE
    # A row that was added alone is written about SMALL / 2 times in the tail, and log2(total / SMALL) times after that.
    assert n_written / total <= SMALL / added / 2 + 2 + math.log2(total / SMALL)


def test_a_small_transaction_never_rewrites_a_large_segment() -> None:
    assert POLICY.first_segment_to_merge([5 * LARGE, LARGE - 1], 1) == 2
    assert POLICY.first_segment_to_merge([LARGE // 2], LARGE // 2) == 0
    assert POLICY.first_segment_to_merge([LARGE], LARGE // 2) == 1
    assert POLICY.first_segment_to_merge([6 * LARGE, LARGE], 7 * LARGE) == 0


def test_few_rows_are_buffered_and_no_more_than_rows_on_disk() -> None:
    assert POLICY.fits_in_buffer(64, 1000)
    assert not POLICY.fits_in_buffer(65, 1000)
    assert POLICY.fits_in_buffer(5, 5)
    assert not POLICY.fits_in_buffer(6, 5)
    assert not POLICY.fits_in_buffer(1, 0)


def test_a_segment_is_rewritten_when_most_of_its_many_rows_are_tombstoned() -> None:
    assert POLICY.needs_rewrite(1000, 499)
    assert not POLICY.needs_rewrite(1000, 500)
    assert not POLICY.needs_rewrite(256, 0)
    assert POLICY.needs_rewrite(257, 0)
    assert not POLICY.needs_rewrite(4 * LARGE, LARGE + 1)
