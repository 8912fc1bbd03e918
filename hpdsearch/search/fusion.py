"""Hybrid scores: a convex combination of the dense and the lexical score of a document.

    score = FUSION_ALPHA * cosine + (1 - FUSION_ALPHA) * BM25 / best BM25 of the query

A cosine needs no normalization. BM25 has no upper bound, so it is divided by its maximum for the query.
FUSION_ALPHA = 0.8 has been chosen by nDCG@10 on judged collections (docs/decisions/0022-hybrid-fusion.md).

Source: Bruch, Gai and Ingber 2022, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv:2210.11934. They find
that a convex combination beats reciprocal rank fusion and needs few examples to be tuned.
"""

from hpdsearch.search.ranking import Ranked, Ranking

FUSION_ALPHA = 0.8  # weight of the cosine
FUSION_DEPTH = 100  # smallest number of documents of each ranking that are fused


def fuse(dense: Ranking, lexical: Ranking) -> Ranking:
    """Combine two rankings of one query by the formula of this module.

    A document that the dense ranking lacks gets the cosine of that ranking's last document, which bounds its own
    cosine from above. A document that the lexical ranking lacks gets BM25 0.

    Args:
        dense: documents with their cosines, best first.
        lexical: documents with their BM25 scores, best first.

    Returns:
        every document of either ranking once, in no particular order. The row of its best passage is that of the dense
        ranking where both rankings have the document.
    """
    last_cosine = dense[-1].score if dense else 0.0
    best_bm25 = (lexical[0].score if lexical else 0.0) or 1.0  # BM25 is 0 for a term that every passage holds
    fused = {doc: Ranked(doc, FUSION_ALPHA * cosine, row) for doc, cosine, row in dense}
    for doc, bm25, row in lexical:
        dense_part = fused.get(doc) or Ranked(doc, FUSION_ALPHA * last_cosine, row)
        fused[doc] = Ranked(doc, dense_part.score + (1 - FUSION_ALPHA) * bm25 / best_bm25, dense_part.row)
    return list(fused.values())
