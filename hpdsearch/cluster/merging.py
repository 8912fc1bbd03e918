"""Merge the hits of shards. A document is in one shard only, so no doc_id comes twice."""

import heapq
from collections.abc import Sequence
from itertools import islice
from typing import Protocol, TypeVar


class Scored(Protocol):
    """A hit: its order depends on score and doc_id."""

    @property
    def doc_id(self) -> str:
        """The user's id, unique among all shards."""

    @property
    def score(self) -> float:
        """Higher is better."""


H = TypeVar("H", bound=Scored)


def merge_hits(rankings: Sequence[Sequence[H]], k: int) -> list[H]:
    """Return the k best hits of all shards: highest score first, equal scores by doc_id.

    The result is exact if each ranking holds the k best hits of its shard.

    Args:
        rankings: the hits of each shard, each in that order.
        k: wanted hits; fewer are returned if the shards have fewer.
    """
    return list(islice(heapq.merge(*rankings, key=lambda hit: (-hit.score, hit.doc_id)), k))
