"""Hybrid scores: a convex combination of the dense and the lexical score of a document.

    score = FUSION_ALPHA * cosine + (1 - FUSION_ALPHA) * BM25 / best BM25 of the query + bonus

Both scores are computed for every document that one of the rankings has among its first FUSION_DEPTH. A cosine needs no
normalization. The bonus puts documents that hold an identifier of the query first (hpdsearch.search.rare_words). BM25
has no upper bound, so it is divided by its maximum for the query. FUSION_ALPHA = 0.8 was chosen
by nDCG@10 on judged collections, alone and among other documents (docs/decisions/0051-both-scores.md).

Source: Bruch, Gai and Ingber 2022, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv:2210.11934. They find
that a convex combination beats reciprocal rank fusion and needs few examples to be tuned.
"""

from collections.abc import Mapping

from hpdsearch.search.ranking import Ranked, Ranking

FUSION_ALPHA = 0.8  # weight of the cosine
FUSION_DEPTH = 30  # documents of each ranking that are scored by both; more change nDCG@10 by 0.01 at most


def fuse(dense: Ranking, lexical: Ranking, bonuses: Mapping[int, float]) -> Ranking:
    """Combine two rankings of one query by the formula of this module.

    Args:
        dense: every document of either ranking with its cosine, those of the dense ranking first.
        lexical: the documents that share a stem with the query, with their BM25 scores; the best one comes first.
        bonuses: what is added to the scores of documents that hold an identifier of the query.

    Returns:
        the documents of `dense` in no particular order, with the rows of their nearest passages.
    """
    best_bm25 = (lexical[0].score if lexical else 0.0) or 1.0  # BM25 is 0 for a term that every passage holds
    bm25 = {doc: score / best_bm25 for doc, score, _ in lexical}
    return [
        Ranked(doc, FUSION_ALPHA * cosine + (1 - FUSION_ALPHA) * bm25.get(doc, 0.0) + bonuses.get(doc, 0.0), row)
        for doc, cosine, row in dense
    ]
