from itertools import chain, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.encoder import threads
from hpdsearch.encoder.batches import join_windows, length_batches, length_ratio_batches, split_into_windows
from hpdsearch.encoder.threads import usable_cores

TOKENS = st.lists(st.lists(st.integers(10, 99), max_size=12), max_size=20)


@given(TOKENS, st.integers(1, 6))
def test_windows_hold_every_token_once_and_in_order(tokens: list[list[int]], max_tokens: int) -> None:
    windows = split_into_windows(tokens, max_tokens=max_tokens, before=[1], after=[2])
    joined: list[list[int]] = [[] for _ in tokens]
    for ids, text in zip(windows.ids, windows.text, strict=True):
        assert (ids[0], ids[-1]) == (1, 2)
        assert len(ids) <= max_tokens + 2
        joined[text] += ids[1:-1]
    assert joined == tokens
    assert set(windows.text) == set(range(len(tokens)))


LENGTHS = st.lists(st.integers(1, 40), max_size=60)


@given(LENGTHS, st.integers(1, 90), st.sampled_from([0, 1 / 32, 0.25, 1]))
def test_batches_hold_every_position_once_within_budget_and_padding_share(
    lengths: list[int], budget: int, share: float
) -> None:
    batches = list(length_batches(lengths, token_budget=budget, padding_share=share))
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    found = [[lengths[position] for position in batch] for batch in batches]
    assert list(chain.from_iterable(found)) == sorted(lengths, reverse=True)
    for batch in found:
        assert len(batch) == 1 or batch[0] * len(batch) <= budget
        assert sum(batch[0] - length for length in batch) <= share * budget
    for batch, after in pairwise(found):  # each batch is as large as allowed
        wider = [*batch, after[0]]
        assert batch[0] * len(wider) > budget or sum(batch[0] - length for length in wider) > share * budget


@given(LENGTHS, st.integers(1, 90))
def test_without_padding_a_batch_has_one_length_in_the_order_of_the_texts(lengths: list[int], budget: int) -> None:
    for batch in length_batches(lengths, token_budget=budget):
        assert len({lengths[position] for position in batch}) == 1
        assert batch == sorted(batch)


@given(LENGTHS, st.integers(1, 90))
def test_batches_by_ratio_hold_every_position_once_within_budget_and_ratio(lengths: list[int], budget: int) -> None:
    batches = list(length_ratio_batches(lengths, token_budget=budget, max_ratio=1.25))
    assert list(chain.from_iterable(batches)) == sorted(range(len(lengths)), key=lambda position: lengths[position])
    found = [[lengths[position] for position in batch] for batch in batches]
    for batch in found:
        assert len(batch) == 1 or batch[-1] * len(batch) <= budget
        assert batch[-1] <= batch[0] * 1.25 + 1
    for batch, after in pairwise(found):
        assert after[0] * (len(batch) + 1) > budget or after[0] > batch[0] * 1.25 + 1


def test_windows_are_joined_by_their_tokens() -> None:
    windows = split_into_windows([[5], [5, 6, 7], []], max_tokens=2, before=[1], after=[2])
    assert windows.ids == [[1, 5, 2], [1, 5, 6, 2], [1, 7, 2], [1, 2]]
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    expected = [[1, 0], [2 / 5**0.5, 1 / 5**0.5], [0, 1]]  # second: 2 tokens along x, 1 along y
    np.testing.assert_allclose(join_windows(vectors, windows, n_texts=3), expected, atol=1e-6)


def test_every_window_begins_with_the_prompt_which_does_not_weigh() -> None:
    windows = split_into_windows([[7, 8, 5], [7, 8], [7, 8, 1, 2, 3]], max_tokens=2, before=[], after=[9], n_prompt=2)
    assert windows.ids == [[7, 8, 5, 9], [7, 8, 9], [7, 8, 1, 2, 9], [7, 8, 3, 9]]
    assert windows.weights.tolist() == [1, 1, 2, 1]


def test_a_text_without_any_token_is_the_padding_token() -> None:
    windows = split_into_windows([[], [5]], max_tokens=2, before=[], after=[], pad_id=4)
    assert windows.ids == [[4], [5]]


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
