"""Search one snapshot of an index: dense, lexical or both, filtered, one hit for each document.

A search tests more candidates until the k best documents are final (hpdsearch.search.ranking): no unseen passage could
tie with the k-th one. Equal scores are ordered by doc_id.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from numbers import Real
from operator import index

import numpy as np

from hpdsearch.catalog import StoredDocument
from hpdsearch.common.forks import PerProcess
from hpdsearch.common.vectors import Mask, Matrix, Rows, Scores, unit_rows
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.dense.faiss_factory import count_cores
from hpdsearch.errors import RESTORE_CATALOG, CorruptIndexError, QueryError
from hpdsearch.lexical import find_spans, query_stems
from hpdsearch.records import Document, Hit, Passage
from hpdsearch.search.exact_scores import cover_documents, read_vectors, score_by_both, score_exactly
from hpdsearch.search.explaining import Query, explain_hits
from hpdsearch.search.fusion import FUSION_DEPTH, fuse
from hpdsearch.search.places import name_location
from hpdsearch.search.query_syntax import ParsedQuery, parse_query
from hpdsearch.search.ranking import (
    NO_SCORE,
    Ranking,
    best_per_document,
    expand_until_final,
    order_with_ties,
)
from hpdsearch.search.rare_words import KnownWords, catalog_bonuses
from hpdsearch.search.snapshot import Restriction, RowFilter, Snapshot

EXACT_ROWS = 10_000  # up to so many rows that pass a filter are all scored exactly, without the codes
MAX_ROWS_IN_QUERY = 5_000  # up to so many rows that pass a filter are named in the lexical query


class Mode(str, Enum):
    """How documents are ranked: by cosine (dense), by BM25 (lexical), or by both (hybrid)."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


def search(
    snapshot: Snapshot,
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Matrix],
    encode_sentences: Callable[[Sequence[str]], Matrix],
    known_words: KnownWords,
    *,
    k: int = 10,
    mode: Mode = Mode.HYBRID,
    where: str | None = None,
    ann_recall: float | None = None,
    min_score: float | None = None,
    explain: bool = False,
) -> list[list[Hit]]:
    """Find the k best documents for each text.

    Args:
        snapshot: the snapshot to search.
        texts: queries in natural language, in lexical and hybrid mode with marks (hpdsearch.search.query_syntax).
        encode: queries -> unit vectors (n, dim) of the index's space; not called in lexical mode without `explain`.
        encode_sentences: the same for sentences of documents, which `explain` compares with queries.
        known_words: query -> its words that the encoder has whole; only called in hybrid mode.
        k: hits for each text, k >= 1; fewer are returned only if fewer documents match.
        mode: dense ranks by cosine, lexical by BM25, hybrid by both (hpdsearch.search.fusion).
        where: a filter (docs/filters.md).
        ann_recall: share of the exact top k to reach, 0 < ann_recall <= 1. It selects another operating point of each
            segment; None: the one that the segment was built with.
        min_score: hits with a lower score are left out; None: none.
        explain: explain each hit (hpdsearch.records.Explanation).

    Returns:
        for each text its hits, best first; equal scores by doc_id.

    Raises:
        QueryError: k < 1, a text is blank, ann_recall is outside of its range, or min_score is not a number.
        FilterError: the filter cannot be parsed.
        CorruptIndexError: a file is missing or altered.
    """
    k = require_integer(k)
    check_queries(texts)
    check_limits(k, ann_recall, min_score)
    parsed = [ParsedQuery(text) if mode is Mode.DENSE else parse_query(text) for text in texts]
    queries = [_Query(query.text, Restriction(where, query.conditions)) for query in parsed]
    depth = max(FUSION_DEPTH, k)
    if mode is Mode.LEXICAL:
        if explain:
            _encode(queries, encode)
        rankings = [rank_lexical(snapshot, query.text, k, query.restriction) for query in queries]
    elif mode is Mode.DENSE:
        _encode(queries, encode)
        rankings = _rank_groups(snapshot, queries, k, ann_recall)
    else:
        with _rank_words_meanwhile(snapshot, queries, known_words, depth) as by_words:
            _encode(queries, encode)
            nearest = _rank_groups(snapshot, queries, depth, ann_recall)
            each = zip(queries, nearest, by_words(), strict=True)
        rankings = [_rank_by_both(snapshot, *one, depth, k) for one in each]
    rankings = [[one for one in ranking[:k] if min_score is None or one.score >= min_score] for ranking in rankings]
    results = [make_hits(snapshot, query.text, ranking) for query, ranking in zip(queries, rankings, strict=True)]
    if not explain:
        return results
    nearest = _rank_groups(snapshot, queries, depth, ann_recall)
    return [
        explain_hits(snapshot, _explained(snapshot, query, dense, depth), hits, docs, encode_sentences)
        for query, dense, hits, docs in zip(queries, nearest, results, rankings, strict=True)
    ]


@dataclass
class _Query:
    """A query while it is answered.

    Attributes:
        text: the query without its marks.
        restriction: what its hits must meet.
        vector: its vector (dim,); empty where none is needed.
        bonuses: what is added to the hybrid scores of documents that hold an identifier of it.
        coverage: the part of it that the first documents by BM25 hold, 0..1.
    """

    text: str
    restriction: Restriction
    vector: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    bonuses: Mapping[int, float] = field(default_factory=dict)
    coverage: Mapping[int, float] = field(default_factory=dict)


def _encode(queries: Sequence[_Query], encode: Callable[[Sequence[str]], Matrix]) -> None:
    """Set the vectors of the queries."""
    if queries:
        for query, vector in zip(queries, encode([query.text for query in queries]), strict=True):
            query.vector = vector


def _rank_groups(snapshot: Snapshot, queries: Sequence[_Query], k: int, ann_recall: float | None) -> list[Ranking]:
    """Rank by cosine, together the queries with one restriction."""
    rankings: dict[int, Ranking] = {}
    groups: dict[Restriction, list[int]] = {}
    for number, query in enumerate(queries):
        groups.setdefault(query.restriction, []).append(number)
    for restriction, numbers in groups.items():
        vectors = np.stack([queries[number].vector for number in numbers])
        found = rank_dense(snapshot, vectors, k, restriction, ann_recall=ann_recall)
        rankings |= dict(zip(numbers, found, strict=True))
    return [rankings[number] for number in range(len(queries))]


@contextmanager
def _rank_words_meanwhile(
    snapshot: Snapshot, queries: Sequence[_Query], known_words: KnownWords, depth: int
) -> Iterator[Callable[[], list[Ranking]]]:
    """Rank by BM25 and find bonuses and coverage, for a single query in another thread while the block runs.

    Tantivy, faiss, SQLite and the encoders' runtimes release Python's lock. Several queries use all cores anyway.
    """

    def rank() -> list[Ranking]:
        rankings = []
        for query in queries:
            bonuses = catalog_bonuses(snapshot.catalog, snapshot.lexical, query.text, known_words)
            query.bonuses = keep_allowed(snapshot, bonuses, query.restriction)
            ranking = rank_lexical(snapshot, query.text, depth, query.restriction)[:depth]
            query.coverage = cover_documents(snapshot, query.text, ranking)
            rankings.append(ranking)
        return rankings

    if len(queries) != 1 or count_cores() == 1:
        yield rank
        return
    snapshot.allowed_rows(queries[0].restriction)  # both threads need them, and only one shall look for them
    future = _threads.get().submit(rank)
    try:
        yield future.result
    finally:
        wait([future])


_threads = PerProcess(lambda: ThreadPoolExecutor(count_cores(), "hpdsearch-words"))


def _rank_by_both(snapshot: Snapshot, query: _Query, dense: Ranking, lexical: Ranking, depth: int, k: int) -> Ranking:
    """Rank by the hybrid score the first `depth` of both rankings, which are final, and documents with a bonus."""
    cosines, bm25 = score_by_both(snapshot, query.text, query.vector, dense[:depth], lexical, query.bonuses)
    others = [ranked for ranked in bm25 if ranked.doc not in query.coverage]
    coverage = {**query.coverage, **cover_documents(snapshot, query.text, others)}
    return order_with_ties(snapshot, fuse(cosines, bm25, coverage, query.bonuses), k)


def keep_allowed(snapshot: Snapshot, bonuses: Mapping[int, float], restriction: Restriction) -> Mapping[int, float]:
    """Return the bonuses of the documents that a restriction lets pass."""
    if not bonuses or restriction == Restriction():
        return bonuses
    rows = np.array(sorted(snapshot.catalog.docs_by_row(list(bonuses))), np.int64)
    allowed = snapshot.allowed_rows(restriction)
    if allowed is not None:
        rows = np.intersect1d(rows, allowed)
    passing = set(snapshot.docs_of_rows(rows, restriction).values())
    return {doc: bonus for doc, bonus in bonuses.items() if doc in passing}


def _explained(snapshot: Snapshot, query: _Query, dense: Ranking, depth: int) -> Query:
    lexical = rank_lexical(snapshot, query.text, depth, query.restriction)
    return Query(query.text, query.vector, dense[:depth], lexical[:depth], query.bonuses)


def search_like(
    snapshot: Snapshot,
    doc_id: str,
    *,
    k: int = 10,
    where: str | None = None,
    ann_recall: float | None = None,
    min_score: float | None = None,
) -> list[Hit]:
    """Find the k documents nearest to a stored one, which is left out: by cosine with the mean of its vectors.

    Args:
        snapshot: the snapshot to search.
        doc_id: the stored document.
        k: hits, k >= 1.
        where: a filter (docs/filters.md).
        ann_recall: as in `search`.
        min_score: hits with a lower score are left out; None: none.

    Raises:
        QueryError: the index holds no such document; or as in `search`.
        FilterError, CorruptIndexError: as in `search`.
    """
    k = require_integer(k)
    check_limits(k, ann_recall, min_score)
    doc = snapshot.catalog.doc_numbers([doc_id]).get(doc_id)
    if doc is None:
        raise QueryError(f"{snapshot.catalog.path.parent}: doc_id {doc_id!r} is not in the index")
    rows = np.array(sorted(snapshot.catalog.docs_by_row([doc])), np.int64)
    mean = unit_rows(read_vectors(snapshot, rows).mean(axis=0, keepdims=True))
    (ranking,) = rank_dense(snapshot, mean, k + 1, Restriction(where), ann_recall=ann_recall)
    others = [one for one in ranking[: k + 1] if one.doc != doc and (min_score is None or one.score >= min_score)]
    return make_hits(snapshot, "", others[:k])


def require_integer(k: int) -> int:
    """Return k as an int; raise QueryError if it is none."""
    try:
        return index(k)
    except TypeError:
        raise QueryError(f"k: expected an integer, got {k!r}") from None


def check_limits(k: int, ann_recall: float | None, min_score: float | None) -> None:
    """Raise QueryError for a value outside of its range."""
    if k < 1:
        raise QueryError(f"k: expected at least 1, got {k}")
    if ann_recall is not None and not 0 < ann_recall <= 1:
        raise QueryError(f"ann_recall: expected more than 0 and at most 1, got {ann_recall!r}")
    if min_score is not None and (not isinstance(min_score, Real) or math.isnan(min_score)):
        raise QueryError(f"min_score: expected a number, got {min_score!r}")


def check_queries(texts: Sequence[str]) -> None:
    """Check the queries of a search.

    Raises:
        QueryError: one is blank, or not valid Unicode.
    """
    for position, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise QueryError(f"query {position}: expected text that is not blank, got {text!r}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = text[error.start]
            is_byte = "\udc80" <= found <= "\udcff"  # Python's form of a byte that it could not decode
            reason = f"the byte 0x{ord(found) - 0xDC00:x}" if is_byte else f"an unpaired surrogate ({error.reason})"
            raise QueryError(f"query {position}: expected Unicode text, got {reason}") from None


def rank_dense(
    snapshot: Snapshot, vectors: Matrix, k: int, restriction: Restriction, *, ann_recall: float | None
) -> list[Ranking]:
    """Return for each query vector (dim,) a ranking by cosine whose first k are final for its candidates."""
    allowed = snapshot.allowed_rows(restriction)
    if allowed is not None and len(allowed) <= EXACT_ROWS:
        return [
            best_per_document(snapshot, *score_exactly(snapshot, vector, allowed), k, restriction) for vector in vectors
        ]
    row_filter = snapshot.row_filter(restriction)

    def rank_candidates(queries: Sequence[int], expansion: int) -> Iterable[tuple[Ranking, float]]:
        all_rows, all_scores, max_unseen = _find_candidates(
            snapshot, row_filter, vectors[queries], 2 * k, expansion, ann_recall
        )
        for rows, scores, unseen in zip(all_rows, all_scores, max_unseen.tolist(), strict=True):
            found = rows >= 0
            yield best_per_document(snapshot, rows[found], scores[found], k, restriction), unseen

    return expand_until_final(rank_candidates, len(vectors), k, size=1)


def _find_candidates(
    snapshot: Snapshot,
    row_filter: RowFilter,
    vectors: Matrix,
    n: int,
    expansion: int,
    ann_recall: float | None,
) -> tuple[Rows, Scores, Scores]:
    """Find the nearest rows of all segments.

    Args:
        snapshot: the snapshot.
        row_filter: which rows of its segments may be found.
        vectors: queries (m, dim), unit length.
        n: rows wanted from each segment.
        expansion: this many times the candidates and probed lists.
        ann_recall: selects the operating point of each segment; None: its own.

    Returns:
        rows (m, n_found) in no particular order, -1 where a segment has found fewer; their cosines (m, n_found); an
        upper bound (m,) of the cosines of unseen rows, as far as the codes order them, NO_SCORE if every row was seen.
    """
    m = len(vectors)
    all_rows = [np.empty((m, 0), np.int64)]
    all_scores = [np.empty((m, 0), np.float32)]
    max_unseen = np.full(m, NO_SCORE, np.float32)
    searched = [one for one in zip(snapshot.segments, row_filter.masks, row_filter.counts, strict=True) if one[2]]

    def find(one: tuple[Segment | BufferedVectors, Mask | None, int]) -> tuple[Rows, Scores]:
        segment, mask, count = one
        measured = segment.operating_points
        point = measured.choose(ann_recall) if ann_recall is not None and measured is not None else None
        return segment.nearest(vectors, min(n, count), allowed=mask, point=point, expansion=expansion)

    for (_, _, count), (rows, scores) in zip(searched, snapshot.map_segments(find, searched), strict=True):
        all_rows.append(rows)
        all_scores.append(scores)
        if rows.shape[1] < count or rows.min(initial=0) < 0:
            lowest = np.where(rows >= 0, scores, 1).min(axis=1, initial=1)
            saw_all = np.count_nonzero(rows >= 0, axis=1) == count
            max_unseen = np.maximum(max_unseen, np.where(saw_all, NO_SCORE, lowest))
    return np.concatenate(all_rows, axis=1), np.concatenate(all_scores, axis=1), max_unseen


def rank_lexical(snapshot: Snapshot, text: str, k: int, restriction: Restriction) -> Ranking:
    """Return a ranking by BM25 whose first k are final."""
    allowed = snapshot.allowed_rows(restriction)
    only = allowed.tolist() if allowed is not None and len(allowed) <= MAX_ROWS_IN_QUERY else None

    def rank_rows(_: Sequence[int], n: int) -> Iterable[tuple[Ranking, float]]:
        rows, scores = snapshot.lexical.search(text, n, only=only)
        max_unseen = NO_SCORE if len(rows) < n else float(scores[-1])
        if allowed is not None and only is None:
            is_allowed = isin_sorted(rows, allowed)
            rows = rows[is_allowed]
            scores = scores[is_allowed]
        return [(best_per_document(snapshot, rows, scores, k, restriction), max_unseen)]

    (ranking,) = expand_until_final(rank_rows, 1, k, size=max(2 * k, 50))
    return ranking


def isin_sorted(rows: Rows, allowed: Rows) -> Mask:
    """Return a mask (m,) of the rows (m,) that are in allowed (n,), ascending, n >= 1: np.isin without its sort."""
    mask: Mask = allowed[np.minimum(np.searchsorted(allowed, rows), len(allowed) - 1)] == rows
    return mask


def make_hits(snapshot: Snapshot, text: str, ranking: Ranking) -> list[Hit]:
    """Return the hits of a ranking for a query without its marks.

    Raises:
        CorruptIndexError: a row of the ranking belongs to no document.
    """
    stored = snapshot.catalog.documents([ranked.doc for ranked in ranking])
    analysis = snapshot.lexical.analysis
    stems = frozenset(query_stems(text, analysis))
    hits = []
    for doc, score, row in ranking:
        document, passage = _passage_at_row(snapshot, stored.get(doc), row)
        found = document.text[passage.start : passage.end]
        spans = find_spans(stems, found, analysis)
        place = name_location(document, passage, spans)
        hits.append(
            Hit(document.doc_id, score, document.title, document.text, found, spans, document.metadata, location=place)
        )
    return hits


def _passage_at_row(snapshot: Snapshot, stored: StoredDocument | None, row: int) -> tuple[Document, Passage]:
    """Return the document, and its passage in a row."""
    for passage_row, start, end in stored.passages if stored else ():
        if stored and passage_row == row:
            return stored.document, Passage(start, end)
    raise CorruptIndexError(f"{snapshot.catalog.path}: row {row} belongs to no document; {RESTORE_CATALOG}")
