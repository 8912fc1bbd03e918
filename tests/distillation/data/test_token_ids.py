import numpy as np
import pytest

from hpdsearch.distillation.data.token_ids import TokenIds

LISTS = [[3, 1, 4], [], [1], [5, 9, 2, 6], [65_535]]


@pytest.mark.parametrize(("n_tokens", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.int32)])
def test_token_ids_are_a_sequence_of_lists(n_tokens, dtype):
    ids = TokenIds([LISTS[:2], [], LISTS[2:]], n_tokens=n_tokens)
    assert len(ids) == 5
    assert list(ids) == LISTS
    assert [ids[position] for position in range(-5, 5)] == LISTS + LISTS
    assert ids[np.int64(3)] == LISTS[3]
    assert ids[1:4] == LISTS[1:4]
    assert ids[:99] == LISTS
    assert ids.lengths().tolist() == [3, 0, 1, 4, 1]
    assert ids._flat.dtype == dtype
    for position in (5, -6):
        with pytest.raises(IndexError):
            ids[position]


def test_counts_are_those_of_all_texts():
    counts = TokenIds([LISTS], n_tokens=65_536).counts(65_536)
    assert (len(counts), counts.sum(), counts[1], counts[7], counts[65_535]) == (65_536, 9, 2, 0, 1)


def test_no_text_has_no_ids():
    ids = TokenIds([], n_tokens=9)
    assert (len(ids), list(ids), ids.lengths().tolist()) == (0, [], [])
