"""Hybrid scores: a convex combination of three scores of a document, each about 0 to 1.

    score = 0.65 cosine + 0.25 coverage + 0.1 BM25 / best BM25 of the query + bonus

All are computed for every document that one of the rankings has among its first FUSION_DEPTH. Coverage is the part of
the query that the document holds: the idf of the stems that both have, divided by that of all stems. It has the same
meaning for every query, while BM25 divided by its maximum is 1 for the best document even if that holds one word of
ten. The bonus puts documents that hold an identifier of the query first (hpdsearch.search.rare_words). The weights were
chosen by nDCG@10 on judged collections, alone and among other documents (docs/decisions/0077-weights.md).

Source: Bruch, Gai and Ingber 2022, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv:2210.11934. They find
that a convex combination beats reciprocal rank fusion and needs few examples to be tuned.
"""

from collections.abc import Mapping

from hpdsearch.search.ranking import Ranked, Ranking

DENSE_WEIGHT, COVERAGE_WEIGHT, BM25_WEIGHT = 0.65, 0.25, 0.1
FUSION_DEPTH = 30  # documents of each ranking that are scored; 100 give more and take longer (decision 77)


def fuse(dense: Ranking, lexical: Ranking, coverage: Mapping[int, float], bonuses: Mapping[int, float]) -> Ranking:
    """Combine two rankings of one query by the formula of this module.

    Args:
        dense: every document of either ranking with its cosine, those of the dense ranking first.
        lexical: the documents that share a stem with the query, with their BM25 scores; the best one comes first.
        coverage: of the documents of `lexical`, 0..1.
        bonuses: what is added to the scores of documents that hold an identifier of the query.

    Returns:
        the documents of `dense` in no particular order, with the rows of their nearest passages.
    """
    best_bm25 = (lexical[0].score if lexical else 0.0) or 1.0  # BM25 is 0 for a term that every passage holds
    words = {doc: COVERAGE_WEIGHT * coverage[doc] + BM25_WEIGHT * score / best_bm25 for doc, score, _ in lexical}
    return [
        Ranked(doc, DENSE_WEIGHT * cosine + words.get(doc, 0.0) + bonuses.get(doc, 0.0), row)
        for doc, cosine, row in dense
    ]
