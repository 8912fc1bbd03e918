from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.encoder import threads
from hpdsearch.encoder.batches import cut_windows, equal_length_batches, join_windows
from hpdsearch.encoder.threads import usable_cores

TOKENS = st.lists(st.lists(st.integers(10, 99), max_size=12), max_size=20)


@given(TOKENS, st.integers(1, 6))
def test_windows_hold_every_token_once_and_in_order(tokens: list[list[int]], max_tokens: int) -> None:
    windows = cut_windows(tokens, max_tokens=max_tokens, start=1, end=2)
    joined: list[list[int]] = [[] for _ in tokens]
    for ids, text in zip(windows.ids, windows.text, strict=True):
        assert (ids[0], ids[-1]) == (1, 2)
        assert len(ids) <= max_tokens + 2
        joined[text] += ids[1:-1]
    assert joined == tokens
    assert set(windows.text) == set(range(len(tokens)))


@given(TOKENS, st.integers(1, 30))
def test_batches_hold_every_window_once_and_keep_the_budget(ids: list[list[int]], budget: int) -> None:
    batches = list(equal_length_batches([[1, *window] for window in ids], token_budget=budget))
    assert sorted(chain.from_iterable(batches)) == list(range(len(ids)))
    for batch in batches:
        (length,) = {len(ids[position]) + 1 for position in batch}
        assert len(batch) == 1 or length * len(batch) <= budget


def test_windows_are_joined_by_their_tokens() -> None:
    windows = cut_windows([[5], [5, 6, 7], []], max_tokens=2, start=1, end=2)
    assert windows.ids == [[1, 5, 2], [1, 5, 6, 2], [1, 7, 2], [1, 2]]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    expected = [[1, 0], [2 / 5**0.5, 1 / 5**0.5], [0, 1]]  # second: 2 tokens along x, 1 along y
    np.testing.assert_allclose(join_windows(vectors, windows, n_texts=3), expected, atol=1e-6)


def test_a_container_quota_limits_the_cores(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(threads, "CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for content, cores in [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)]:
        (tmp_path / "cpu.max").write_text(content)
        assert usable_cores() == cores
    (tmp_path / "cpu.max").unlink()
    monkeypatch.setattr(threads, "CGROUP_V1", tmp_path)
    assert usable_cores() == 8
    (tmp_path / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == 3
