"""The k best hits of shards, against sorting all of them."""

from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.cluster.merging import merge_hits
from hpdsearch.records import Hit

SCORES = st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), max_size=8)


def make_shards(scores: list[list[float]]) -> list[list[Hit]]:
    """Return hits with unique doc_ids that do not ascend with the shards, each shard in the order of a search."""
    shards = []
    for shard, part in enumerate(scores):
        hits = [
            Hit(f"d{(31 * shard + 7 * place) % 97:02}-{shard}-{place}", s, "", "", "") for place, s in enumerate(part)
        ]
        shards.append(sorted(hits, key=lambda hit: (-hit.score, hit.doc_id)))
    return shards


@given(st.lists(SCORES, max_size=6), st.integers(1, 12))
def test_merged_hits_are_the_first_of_all_hits_sorted(scores, k) -> None:
    shards = make_shards(scores)
    together = [hit for shard in shards for hit in shard]
    assert merge_hits(shards, k) == sorted(together, key=lambda hit: (-hit.score, hit.doc_id))[:k]


@given(st.lists(SCORES, max_size=6), st.integers(1, 5))
def test_the_k_best_of_each_shard_are_enough(scores, k) -> None:
    shards = make_shards(scores)
    assert merge_hits([shard[:k] for shard in shards], k) == merge_hits(shards, k)


def test_equal_scores_of_two_shards_are_ordered_by_doc_id() -> None:
    first = [Hit("b", 1.0, "", "", ""), Hit("d", 1.0, "", "", "")]
    second = [Hit("a", 1.0, "", "", ""), Hit("c", 1.0, "", "", "")]
    assert [hit.doc_id for hit in merge_hits([first, second], 3)] == ["a", "b", "c"]


def test_no_shard_gives_no_hit() -> None:
    assert merge_hits([], 10) == []
    assert merge_hits([[], []], 10) == []
