"""Rankings of documents: the best passage of each document, ordered by score and, where scores are equal, by doc_id.

The k best documents are final if no unseen row could change them: the k-th one scores more than every unseen row, or
every row was seen. Until then a search repeats its attempt with more rows (`expand_until_final`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

import numpy as np

from hpdsearch.common.vectors import Rows, Scores
from hpdsearch.search.snapshot import Restriction, Snapshot

NO_SCORE = -np.inf  # below every score; as max_unseen it says that every row was seen
EXPANSION = 4  # each attempt of a search takes this many times the rows of the one before


class Ranked(NamedTuple):
    """One document of a ranking, with the row of its best passage."""

    doc: int
    score: float
    row: int


Ranking = list[Ranked]


def is_final(ranking: Ranking, max_unseen: float, k: int) -> bool:
    """Tell whether the k best are certain, because unseen rows score at most max_unseen; NO_SCORE: all were seen."""
    return max_unseen == NO_SCORE or (len(ranking) >= k and ranking[k - 1].score > max_unseen)


def expand_until_final(
    attempt: Callable[[Sequence[int], int], Iterable[tuple[Ranking, float]]],
    n_queries: int,
    k: int,
    *,
    size: int,
    expansion: int = EXPANSION,
) -> list[Ranking]:
    """Repeat an attempt with more rows until the k best documents of every query are final.

    Args:
        attempt: (queries, size) -> for each of these queries a ranking and the upper bound of its unseen rows' scores,
            NO_SCORE if every row was seen. It is called again for the queries whose k best are not final.
        n_queries: queries 0 <= query < n_queries.
        k: documents that must be final.
        size: size of the first attempt.
        expansion: factor between the sizes of two attempts.

    Returns:
        a ranking for each query; its first k are final.
    """
    rankings: list[Ranking] = [[] for _ in range(n_queries)]
    pending = list(range(n_queries))
    while pending:
        not_final = []
        for query, (ranking, max_unseen) in zip(pending, attempt(pending, size), strict=True):
            rankings[query] = ranking
            if not is_final(ranking, max_unseen, k):
                not_final.append(query)
        pending = not_final
        size *= expansion
    return rankings


def best_per_document(snapshot: Snapshot, rows: Rows, scores: Scores, k: int, restriction: Restriction) -> Ranking:
    """Rank the documents of rows by their best passages.

    The catalog is read for few more rows than the first k documents need.

    Args:
        snapshot: the snapshot.
        rows: (n,), in any order; rows that the catalog does not know are left out.
        scores: (n,), higher is better.
        k: wanted documents.
        restriction: what the documents must meet; the rows are among those that it allows.

    Returns:
        a ranking whose first k are final for these rows; it is shorter if they have fewer documents.
    """
    order = np.argsort(-scores, kind="stable")
    rows = rows[order]
    scores = scores[order]
    best: dict[int, Ranked] = {}
    n_read = 0

    def read_rows(_: Sequence[int], end: int) -> Iterable[tuple[Ranking, float]]:
        nonlocal n_read
        docs = snapshot.docs_of_rows(rows[n_read:end], restriction)
        _add_passages(docs, best, rows[n_read:end], scores[n_read:end])
        n_read = end
        max_unseen = float(scores[end - 1]) if end < len(rows) else NO_SCORE
        return [(sorted(best.values(), key=negative_score), max_unseen)]

    (ranking,) = expand_until_final(read_rows, 1, k, size=k + max(k // 4, 4), expansion=2)
    return order_with_ties(snapshot, ranking, k)


def choose_best_rows(docs: Mapping[int, int], rows: Rows, scores: Scores) -> Ranking:
    """Return the best row of each document, in no particular order; of equal rows the first one.

    Args:
        docs: the document of each row.
        rows: (n,), in any order.
        scores: (n,), higher is better.
    """
    best: dict[int, Ranked] = {}
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        previous = best.get(docs[row])
        if previous is None or (-score, row) < (-previous.score, previous.row):
            best[docs[row]] = Ranked(docs[row], score, row)
    return list(best.values())


def order_with_ties(snapshot: Snapshot, ranked: Iterable[Ranked], k: int) -> Ranking:
    """Order by score, and the first k among equal scores by doc_id; doc_ids are read only for equal scores."""
    ranking = sorted(ranked, key=negative_score)
    lowest = ranking[:k][-1].score if ranking else NO_SCORE
    by_score = groupby(takewhile(lambda one: one.score >= lowest, ranking), key=negative_score)
    ties = [group for group in (list(group) for _, group in by_score) if len(group) > 1]
    if ties:
        doc_ids = snapshot.catalog.doc_ids([one.doc for group in ties for one in group])
        ranking.sort(key=lambda one: (-one.score, doc_ids.get(one.doc, "")))
    return ranking


def negative_score(ranked: Ranked) -> float:
    """Return the sort key for descending scores."""
    return -ranked.score


def _add_passages(docs: Mapping[int, int], best: dict[int, Ranked], rows: Rows, scores: Scores) -> None:
    """Add the documents of these rows, best first, to those found; of equal passages the first one represents it."""
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        if row in docs:
            previous = best.get(docs[row])
            if previous is None or (score == previous.score and row < previous.row):
                best[docs[row]] = Ranked(docs[row], score, row)
