"""Compute nDCG@10, recall@100 and MRR@10 of each query with ir-measures, for every benchmark of quality.

A ranking is a list of doc_ids, best first, without scores: the search program itself orders equal scores.
"""

from collections.abc import Mapping, Sequence

try:
    import ir_measures
    from ir_measures import RR, R, nDCG
except ModuleNotFoundError as error:
    raise SystemExit(f'{error.name} is missing: pip install "hpdsearch[bench]"') from error

NDCG, RECALL, MRR = "nDCG@10", "recall@100", "MRR@10"
MEASURES = {NDCG: nDCG @ 10, RECALL: R @ 100, MRR: RR @ 10}
DEPTH = 100  # hits that a ranking should have; recall@100 reads no more

Qrels = Mapping[str, Mapping[str, int]]  # query_id -> doc_id -> grade; above 0 is relevant
Run = Mapping[str, Sequence[str]]  # query_id -> doc_ids, best first


def evaluate_run(qrels: Qrels, run: Run) -> dict[str, dict[str, float]]:
    """Return metric -> query_id -> value x 100, in the order of qrels.

    nDCG has linear gain, as in trec_eval and BEIR; a grade below 0 has gain 0.

    Args:
        qrels: grades of each evaluated query; a query without a relevant document scores 0.
        run: rankings; a query that is missing or has no hits scores 0, and queries outside qrels are ignored.

    Raises:
        SystemExit: a ranking contains a document twice.
    """
    for query_id, found in run.items():
        if len(set(found)) < len(found):
            twice = next(doc_id for rank, doc_id in enumerate(found) if doc_id in found[:rank])
            raise SystemExit(f"query {query_id}: expected doc_ids that differ, got {twice!r} twice")
    # trec_eval orders equal scores by doc_id, the larger first. Negative ranks as scores are never equal.
    scores = {query_id: {doc_id: float(-rank) for rank, doc_id in enumerate(found)} for query_id, found in run.items()}
    values = {metric: dict.fromkeys(qrels, 0.0) for metric in MEASURES}
    names = {measure: metric for metric, measure in MEASURES.items()}
    for one in ir_measures.iter_calc(list(names), qrels, scores):
        if one.query_id in qrels:
            values[names[one.measure]][one.query_id] = 100 * one.value
    return values
