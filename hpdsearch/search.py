"""Search one state of an index: dense, lexical or both, filtered, one hit a document.

Whatever is asked, the search widens until it has k documents or knows that there are no more, and until no passage
that it did not see could tie with the k-th. Equal scores are ordered by doc_id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import index

import numpy as np
import numpy.typing as npt

from hpdsearch.catalog import Catalog
from hpdsearch.errors import QueryError
from hpdsearch.index import Segment
from hpdsearch.lexical import LexicalReader, highlights
from hpdsearch.records import Hit
from hpdsearch.vectors import Matrix

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

RRF_CONSTANT = 60  # Cormack, Clarke and Buettcher, SIGIR 2009
FUSION_DEPTH = 100  # documents of each ranking that are fused, at least
RESCORED_HITS = 10  # hits that get the full `rescore`; the many wanted for fusion get two candidates each
EXACT_ROWS = 10_000  # so few rows behind a filter are scored exactly, without the index
ONLY_ROWS = 5_000  # so few rows behind a filter are named in the lexical query
WIDER = 4
MAX_CACHED_FILTERS = 32


class Mode(str, Enum):
    """How documents are ranked."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True)
class Ranked:
    """One document of a ranking, with the row of its best passage."""

    doc: int
    doc_id: str
    score: float
    row: int


Ranking = list[Ranked]


@dataclass
class State:
    """What a search looks at: one committed state of an index."""

    catalog: Catalog
    segments: Sequence[Segment]
    lexical: LexicalReader
    tombstones: Rows
    filters: dict[str, Rows] = field(default_factory=dict)

    def rows_where(self, where: str) -> Rows:
        """Return the rows that a filter lets through, ascending; the last few filters are remembered."""
        rows = self.filters.get(where)
        if rows is None:
            rows = self.catalog.rows_where(where)
            if len(self.filters) >= MAX_CACHED_FILTERS:
                self.filters.clear()
            self.filters[where] = rows
        return rows


def search(
    state: State,
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Matrix],
    *,
    k: int = 10,
    mode: Mode = Mode.HYBRID,
    where: str | None = None,
) -> list[list[Hit]]:
    """Find the k best documents for each text.

    Args:
        state: the index.
        texts: queries in plain words.
        encode: texts -> unit vectors (n, dim) of the index's space; not called in lexical mode.
        k: hits a text, at least 1; fewer come only if fewer documents match.
        mode: dense ranks by cosine, lexical by BM25, hybrid by reciprocal rank fusion of both.
        where: filter on metadata (hpdsearch.filters).

    Raises:
        QueryError: k < 1 or a blank text. FilterError: the filter cannot be read.
    """
    k = _whole_number(k)
    _check(texts, k)
    allowed = None if where is None else state.rows_where(where)
    if mode is Mode.LEXICAL:
        rankings = [_lexical(state, text, k, allowed) for text in texts]
    elif mode is Mode.DENSE:
        rankings = _dense(state, encode(texts), k, allowed)
    else:
        depth = max(FUSION_DEPTH, k)
        dense = _dense(state, encode(texts), depth, allowed)
        # Behind its first `depth` a ranking holds whatever the search happened to see.
        rankings = [
            fuse([ranking[:depth], _lexical(state, text, depth, allowed)[:depth]])
            for text, ranking in zip(texts, dense, strict=True)
        ]
    return [_hits(state, text, ranking[:k]) for text, ranking in zip(texts, rankings, strict=True)]


def fuse(rankings: Sequence[Ranking]) -> Ranking:
    """Fuse rankings: score = sum of 1 / (60 + rank), rank 1 for the best; the first names the row."""
    scores: dict[int, float] = {}
    first: dict[int, Ranked] = {}
    for ranking in rankings:
        for rank, ranked in enumerate(ranking, start=1):
            scores[ranked.doc] = scores.get(ranked.doc, 0.0) + 1 / (RRF_CONSTANT + rank)
            first.setdefault(ranked.doc, ranked)
    fused = [Ranked(doc, best.doc_id, scores[doc], best.row) for doc, best in first.items()]
    return sorted(fused, key=_order)


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


def _order(ranked: Ranked) -> tuple[float, str]:
    return -ranked.score, ranked.doc_id


def _best(state: State, rows: Rows, scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """Return a ranking whose first k are those of all rows; the catalog is asked about few more rows than that."""
    order = np.argsort(-scores, kind="stable")
    n = 2 * k
    while True:
        top = order[:n]
        ranking = _rank(state, rows[top], scores[top])
        if n >= len(rows) or _settled(ranking, scores[top], k):
            return ranking
        n *= WIDER


def _rank(state: State, rows: Rows, scores: npt.NDArray[np.float32]) -> Ranking:
    """Return one entry a document, with its best passage; rows that the catalog does not know are left out."""
    known = state.catalog.passages_at(rows)
    best: dict[int, Ranked] = {}
    for row, score in sorted(zip(rows.tolist(), scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0])):
        if row in known:
            doc, doc_id = known[row]
            best.setdefault(doc, Ranked(doc, doc_id, score, row))
    return sorted(best.values(), key=_order)


def _settled(ranking: Ranking, scores: npt.NDArray[np.float32], k: int) -> bool:
    """Tell whether the k best cannot tie with what was not seen, which scores at most what was seen last."""
    return len(ranking) >= k and ranking[k - 1].score > float(scores.min())


def _dense(state: State, vectors: Matrix, k: int, allowed: Rows | None) -> list[Ranking]:
    if allowed is not None and len(allowed) <= EXACT_ROWS:
        return [_best(state, allowed, _exact_scores(state, vector, allowed), k) for vector in vectors]
    masks = [_mask(segment, state.tombstones, allowed) for segment in state.segments]
    n_allowed = sum(s.n_rows if m is None else int(m.sum()) for s, m in zip(state.segments, masks, strict=True))
    rankings: list[Ranking] = [[] for _ in vectors]
    pending = np.arange(len(vectors))
    wider = 1
    while len(pending):
        found = _candidates(state.segments, masks, vectors[pending], k, wider)
        unsettled = []
        for query, rows in zip(pending, found, strict=True):
            scores = _exact_scores(state, vectors[query], rows)
            rankings[query] = _best(state, rows, scores, k)
            if len(rows) < n_allowed and not _settled(rankings[query], scores, k):
                unsettled.append(query)
        pending = np.array(unsettled, np.int64)
        wider *= WIDER
    return rankings


def _candidates(
    segments: Sequence[Segment], masks: Sequence[Mask | None], vectors: Matrix, k: int, wider: int
) -> list[Rows]:
    """Return for each vector the candidate rows of all segments."""
    found: list[list[Rows]] = [[] for _ in vectors]
    for segment, mask in zip(segments, masks, strict=True):
        n = max(2 * k, min(k, RESCORED_HITS) * segment.spec.rescore) * wider
        nprobe = min(segment.spec.nprobe * wider, segment.spec.nlist)
        for rows, more in zip(found, segment.candidates(vectors, n, allowed=mask, nprobe=nprobe), strict=True):
            rows.append(more)
    return [np.concatenate(rows) if rows else np.empty(0, np.int64) for rows in found]


def _mask(segment: Segment, tombstones: Rows, allowed: Rows | None) -> Mask | None:
    """Return which rows of a segment may be found (n_rows,); None: all."""
    first, end = segment.first_row, segment.first_row + segment.n_rows
    if allowed is not None:
        mask = np.zeros(segment.n_rows, bool)
        mask[_between(allowed, first, end) - first] = True
        return mask
    dead = _between(tombstones, first, end)
    if not len(dead):
        return None
    mask = np.ones(segment.n_rows, bool)
    mask[dead - first] = False
    return mask


def _between(rows: Rows, first: int, end: int) -> Rows:
    return rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)]


def _exact_scores(state: State, vector: np.ndarray, rows: Rows) -> npt.NDArray[np.float32]:
    """Return the cosines (m,) of vector (dim,) with rows (m,), whichever segments hold them."""
    scores = np.empty(len(rows), np.float32)
    for segment in state.segments:
        here = (rows >= segment.first_row) & (rows < segment.first_row + segment.n_rows)
        if here.any():
            scores[here] = segment.scores(vector, rows[here])
    return scores


def _lexical(state: State, text: str, k: int, allowed: Rows | None) -> Ranking:
    only = allowed.tolist() if allowed is not None and len(allowed) <= ONLY_ROWS else None
    n = max(2 * k, 50)
    while True:
        rows, scores = state.lexical.search(text, n, only=only)
        keep = np.ones(len(rows), bool) if allowed is None or only is not None else np.isin(rows, allowed)
        ranking = _rank(state, rows[keep], scores[keep])
        if len(rows) < n or _settled(ranking, scores, k):
            return ranking
        n *= WIDER


def _hits(state: State, text: str, ranking: Ranking) -> list[Hit]:
    stored = state.catalog.documents([ranked.doc for ranked in ranking])
    hits = []
    for ranked in ranking:
        document = stored[ranked.doc].document
        start, end = next((s, e) for row, s, e in stored[ranked.doc].passages if row == ranked.row)
        passage = document.text[start:end]
        spans = highlights(text, passage)
        hits.append(Hit(ranked.doc_id, ranked.score, document.title, document.text, passage, spans, document.metadata))
    return hits
