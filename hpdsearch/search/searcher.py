"""Search one state of an index: dense, lexical or both, filtered, one hit a document.

Whatever is asked, the search widens until it has k documents or knows that there are no more, and until no passage
that it did not see could tie with the k-th. Equal scores are ordered by doc_id.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial
from itertools import groupby, takewhile
from operator import index

import numpy as np

from hpdsearch.catalog import StoredDocument
from hpdsearch.common.vectors import Mask, Matrix, Rows, Scores
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.errors import RESTORE_CATALOG, CorruptIndexError, QueryError
from hpdsearch.lexical import find_spans, query_stems
from hpdsearch.records import Document, Hit
from hpdsearch.search.fusion import FUSION_DEPTH, fuse
from hpdsearch.search.ranking import Ranked, Ranking
from hpdsearch.search.snapshot import RowFilter, Snapshot, rows_between

EXACT_ROWS = 10_000  # so few rows behind a filter are scored exactly, without the index
ONLY_ROWS = 5_000  # so few rows behind a filter are named in the lexical query
WIDER = 4
NOTHING = -np.inf  # a score below all others


class Mode(str, Enum):
    """How documents are ranked."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


def search(
    state: Snapshot,
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Matrix],
    *,
    k: int = 10,
    mode: Mode = Mode.HYBRID,
    where: str | None = None,
    ann_recall: float | None = None,
) -> list[list[Hit]]:
    """Find the k best documents for each text.

    Args:
        state: the index.
        texts: queries in plain words.
        encode: texts -> unit vectors (n, dim) of the index's space; not called in lexical mode.
        k: hits a text, at least 1; fewer come only if fewer documents match.
        mode: dense ranks by cosine, lexical by BM25, hybrid by both (hpdsearch.search.fusion).
        where: filter on metadata (docs/filters.md).
        ann_recall: share of the exact top k to reach, 0 < ann_recall <= 1. It selects another operating point of each
            segment; None: the one that the segment was built with.

    Raises:
        QueryError: k < 1, a blank text, an ann_recall outside of its range. FilterError: the filter cannot be read.
    """
    k = _whole_number(k)
    _check(texts, k)
    if ann_recall is not None and not 0 < ann_recall <= 1:
        raise QueryError(f"ann_recall: expected more than 0 and at most 1, got {ann_recall!r}")
    nearest = partial(_dense, state, where=where, ann_recall=ann_recall)
    words = partial(_lexical, state, where=where)
    if mode is Mode.LEXICAL:
        rankings = [words(text, k) for text in texts]
    elif mode is Mode.DENSE:
        rankings = nearest(encode(texts), k)
    else:
        depth = max(FUSION_DEPTH, k)
        dense = nearest(encode(texts), depth)
        # Behind its first `depth` a ranking holds whatever the search happened to see.
        rankings = [
            _ordered(state, fuse(ranking[:depth], words(text, depth)[:depth]), k)
            for text, ranking in zip(texts, dense, strict=True)
        ]
    return [_hits(state, text, ranking[:k]) for text, ranking in zip(texts, rankings, strict=True)]


def _whole_number(k: int) -> int:
    try:
        return index(k)
    except TypeError:
        raise QueryError(f"k: expected a whole number, got {k!r}") from None


def _check(texts: Sequence[str], k: int) -> None:
    if k < 1:
        raise QueryError(f"k: expected at least 1, got {k}")
    for position, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise QueryError(f"query {position}: expected some words, got {text!r}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            reason = f"half of a surrogate pair ({error.reason})"
            raise QueryError(f"query {position}: expected Unicode text, got {reason}") from None


def _ordered(state: Snapshot, found: Iterable[Ranked], k: int) -> Ranking:
    """Order by score, the first k of equal scores by doc_id; doc_ids are read only where there are equal scores."""
    ranking = sorted(found, key=_falling)
    last = ranking[:k][-1].score if ranking else NOTHING
    of_score = groupby(takewhile(lambda ranked: ranked.score >= last, ranking), key=_falling)
    equal = [group for group in (list(group) for _, group in of_score) if len(group) > 1]
    if equal:
        doc_ids = state.catalog.doc_ids([ranked.doc for group in equal for ranked in group])
        ranking.sort(key=lambda ranked: (-ranked.score, doc_ids.get(ranked.doc, "")))
    return ranking


def _falling(ranked: Ranked) -> float:
    return -ranked.score


def _best(state: Snapshot, rows: Rows, scores: Scores, k: int) -> Ranking:
    """Return a ranking whose first k are those of all rows; the catalog is asked about few more rows than that."""
    order = np.argsort(-scores, kind="stable")
    rows, scores = rows[order], scores[order]
    best: dict[int, Ranked] = {}
    start, end = 0, k + max(k // 4, 4)
    while True:
        _add_passages(state, best, rows[start:end], scores[start:end])
        ranking = sorted(best.values(), key=_falling)
        if end >= len(rows) or _settled(ranking, float(scores[end - 1]), k):
            return _ordered(state, ranking, k)
        start, end = end, 2 * end


def _add_passages(state: Snapshot, best: dict[int, Ranked], rows: Rows, scores: Scores) -> None:
    """Add the documents of these rows, best first, to those found; rows that the catalog does not know are left out.

    Of a document's passages with equal scores the first one stands for it.
    """
    docs = state.catalog.docs_of_rows(rows)
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        if row in docs:
            before = best.get(docs[row])
            if before is None or (score == before.score and row < before.row):
                best[docs[row]] = Ranked(docs[row], score, row)


def _settled(ranking: Ranking, last: float, k: int) -> bool:
    """Tell whether the k best cannot tie with what was not seen, which scores at most what was seen last."""
    return len(ranking) >= k and ranking[k - 1].score > last


def _dense(state: Snapshot, vectors: Matrix, k: int, *, where: str | None, ann_recall: float | None) -> list[Ranking]:
    allowed = None if where is None else state.rows_where(where)
    if allowed is not None and len(allowed) <= EXACT_ROWS:
        return [_best(state, *_exact_scores(state, vector, allowed), k) for vector in vectors]
    masks = state.masks(where)
    rankings: list[Ranking] = [[] for _ in vectors]
    pending = np.arange(len(vectors))
    wider = 1
    while len(pending):
        all_rows, all_scores, unseen = _nearest(state.segments, masks, vectors[pending], 2 * k, wider, ann_recall)
        unsettled = []
        for query, rows, scores, last in zip(pending.tolist(), all_rows, all_scores, unseen.tolist(), strict=True):
            found = rows >= 0
            rankings[query] = _best(state, rows[found], scores[found], k)
            if last > NOTHING and not _settled(rankings[query], last, k):
                unsettled.append(query)
        pending = np.array(unsettled, np.int64)
        wider *= WIDER
    return rankings


def _nearest(
    segments: Sequence[Segment | BufferedVectors],
    masks: RowFilter,
    vectors: Matrix,
    n: int,
    wider: int,
    ann_recall: float | None,
) -> tuple[Rows, Scores, Scores]:
    """Look for the rows of all segments that are near to vectors (m, dim).

    Returns:
        rows (m, found) and scores (m, found) in no promised order; row -1 fills up what is short. What the codes let
        pass unseen scores at most (m,) as they see it; NOTHING where all was seen.
    """
    m = len(vectors)
    all_rows, all_scores = [np.empty((m, 0), np.int64)], [np.empty((m, 0), np.float32)]
    unseen = np.full(m, NOTHING, np.float32)
    for segment, mask, count in zip(segments, masks.masks, masks.counts, strict=True):
        if not count:
            continue
        measured = segment.operating_points
        point = measured.choose(ann_recall) if ann_recall is not None and measured is not None else None
        rows, scores = segment.nearest(vectors, min(n, count), allowed=mask, point=point, expansion=wider)
        all_rows.append(rows)
        all_scores.append(scores)
        if rows.shape[1] < count or rows.min(initial=0) < 0:
            worst = np.where(rows >= 0, scores, 1).min(axis=1, initial=1)
            seen_all = np.count_nonzero(rows >= 0, axis=1) == count
            unseen = np.maximum(unseen, np.where(seen_all, NOTHING, worst))
    return np.concatenate(all_rows, axis=1), np.concatenate(all_scores, axis=1), unseen


def _exact_scores(state: Snapshot, vector: np.ndarray, rows: Rows) -> tuple[Rows, Scores]:
    """Return those of the rows, ascending, that the segments hold, and their cosines with vector (dim,)."""
    found = [(np.empty(0, np.int64), np.empty(0, np.float32))]
    for segment in state.segments:
        here = rows_between(rows, segment)
        if len(here := here[segment.rows.contains(here)]):
            found.append((here, segment.score(vector, here)))
    held, scores = zip(*found, strict=True)
    return np.concatenate(held), np.concatenate(scores)


def _lexical(state: Snapshot, text: str, k: int, *, where: str | None) -> Ranking:
    allowed = None if where is None else state.rows_where(where)
    only = allowed.tolist() if allowed is not None and len(allowed) <= ONLY_ROWS else None
    n = max(2 * k, 50)
    while True:
        rows, scores = state.lexical.search(text, n, only=only)
        keep = slice(None) if allowed is None or only is not None else _among(rows, allowed)
        ranking = _best(state, rows[keep], scores[keep], k)
        if len(rows) < n or _settled(ranking, float(scores[-1]), k):
            return ranking
        n *= WIDER


def _among(rows: Rows, allowed: Rows) -> Mask:
    """Tell which of the rows (m,) are in allowed (n,), ascending, not empty."""
    mask: Mask = allowed[np.minimum(np.searchsorted(allowed, rows), len(allowed) - 1)] == rows
    return mask


def _hits(state: Snapshot, text: str, ranking: Ranking) -> list[Hit]:
    stored = state.catalog.documents([ranked.doc for ranked in ranking])
    wanted = frozenset(query_stems(text))
    hits = []
    for doc, score, row in ranking:
        document, passage = _at(state, stored.get(doc), row)
        spans = find_spans(wanted, passage)
        hits.append(Hit(document.doc_id, score, document.title, document.text, passage, spans, document.metadata))
    return hits


def _at(state: Snapshot, stored: StoredDocument | None, row: int) -> tuple[Document, str]:
    """Return the document, and its passage that lies in a row."""
    for at, start, end in stored.passages if stored else ():
        if stored and at == row:
            return stored.document, stored.document.text[start:end]
    raise CorruptIndexError(f"{state.catalog.path}: row {row} belongs to no document; {RESTORE_CATALOG}")
