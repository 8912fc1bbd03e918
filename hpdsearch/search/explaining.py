"""Explain the hits of a query: both scores with their ranks, the words that match, the nearest sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpdsearch.catalog import StoredDocument
from hpdsearch.common.vectors import Matrix, cosine_matrix, unit_rows
from hpdsearch.corpus.headings import PassageTitles
from hpdsearch.corpus.passages import split_sentences
from hpdsearch.records import Explanation, Hit, MatchedWord
from hpdsearch.search.exact_scores import cover_documents, score_documents
from hpdsearch.search.ranking import Ranking
from hpdsearch.search.snapshot import Snapshot


@dataclass(frozen=True)
class Query:
    """A query and its rankings.

    Attributes:
        text: the query.
        vector: its vector (dim,).
        dense: the ranking by cosine, as far as ranks are told.
        lexical: the ranking by BM25, as far as ranks are told.
        bonuses: what was added to the hybrid scores of documents.
    """

    text: str
    vector: np.ndarray
    dense: Ranking
    lexical: Ranking
    bonuses: Mapping[int, float]


def explain_hits(
    snapshot: Snapshot,
    query: Query,
    hits: Sequence[Hit],
    ranking: Ranking,
    encode: Callable[[Sequence[str]], Matrix],
) -> list[Hit]:
    """Return the hits of a query with their explanations.

    Args:
        snapshot: the snapshot that was searched.
        query: the query.
        hits: the hits.
        ranking: the documents of the hits, in their order.
        encode: sentences -> unit vectors (n, dim); called once, with those of all hits.
    """
    docs = [ranked.doc for ranked in ranking]
    cosines, bm25 = (
        {one.doc: one for one in scored} for scored in score_documents(snapshot, query.text, query.vector, docs)
    )
    dense_ranks, lexical_ranks = (
        {one.doc: rank for rank, one in enumerate(order, start=1)} for order in (query.dense, query.lexical)
    )
    coverage = cover_documents(snapshot, query.text, list(bm25.values()))
    stored = snapshot.catalog.documents(docs)
    nearest = _find_nearest_sentences([hit.passage for hit in hits], query.vector, encode)
    explained = []
    for hit, doc, (sentence, sentence_cosine) in zip(hits, docs, nearest, strict=True):
        best = bm25.get(doc)
        explanation = Explanation(
            dense_rank=dense_ranks.get(doc),
            cosine=cosines[doc].score,
            lexical_rank=lexical_ranks.get(doc),
            bm25=best.score if best else 0.0,
            best_bm25=query.lexical[0].score if query.lexical else 0.0,
            coverage=coverage.get(doc, 0.0),
            words=_weigh_words(snapshot, query.text, stored[doc], best.row) if best else (),
            bonus=query.bonuses.get(doc, 0.0),
            sentence=sentence,
            sentence_cosine=sentence_cosine,
        )
        explained.append(replace(hit, explanation=explanation))
    return explained


def _weigh_words(snapshot: Snapshot, text: str, stored: StoredDocument, row: int) -> tuple[MatchedWord, ...]:
    """Return the words of a query in the passage of a row, with their parts of its BM25 score."""
    start, end = next((start, end) for passage_row, start, end in stored.passages if passage_row == row)
    document = stored.document
    words = snapshot.lexical.weigh_words(text, PassageTitles(document).before(start), document.text[start:end])
    return tuple(MatchedWord(word, weight) for word, weight in words.items())


def _find_nearest_sentences(
    passages: Sequence[str], vector: np.ndarray, encode: Callable[[Sequence[str]], Matrix]
) -> list[tuple[str, float]]:
    """Return for each passage its sentence with the largest cosine, and that cosine; of equal ones the first."""
    split = [split_sentences(passage) for passage in passages]
    if not split:
        return []
    (cosines,) = cosine_matrix(vector[np.newaxis], unit_rows(encode([each for one in split for each in one])))
    nearest = []
    first = 0
    for sentences in split:
        own = cosines[first : first + len(sentences)]
        nearest.append((sentences[int(own.argmax())], float(own.max())))
        first += len(sentences)
    return nearest
