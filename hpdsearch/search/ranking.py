"""A ranking of documents."""

from typing import NamedTuple


class Ranked(NamedTuple):
    """One document of a ranking, with the row of its best passage."""

    doc: int
    score: float
    row: int


Ranking = list[Ranked]
