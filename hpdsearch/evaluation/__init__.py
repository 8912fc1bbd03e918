"""Measure the quality of vectors: metrics, sentence similarity (STS) and retrieval (BEIR folders).

The input is arrays, or functions from texts to vectors, so that any encoder or teacher can be evaluated. The functions
of `metrics` return 0..1 (Spearman's correlation -1..1); `sts` and `retrieval` report these values x 100.
"""

from hpdsearch.evaluation.beir import Collection, find_collections, read_collection, read_collections
from hpdsearch.evaluation.distractors import DistractorFile, read_distractors
from hpdsearch.evaluation.metrics import (
    mrr_at_k,
    ndcg_at_k,
    nearest_neighbors,
    neighbor_agreement,
    neighbor_overlap,
    paired_bootstrap,
    rank_doc_ids,
    recall_at_k,
    search_agreement,
    spearman,
)
from hpdsearch.evaluation.retrieval import (
    CollectionResult,
    RetrievalResult,
    evaluate_collection,
    evaluate_retrieval,
    is_query_itself,
    judge_run,
    rank_documents,
)
from hpdsearch.evaluation.sts import (
    StsResult,
    StsTask,
    TaskResult,
    evaluate_sts,
    evaluate_task,
    find_tasks,
    pair_cosines,
    read_sts,
    read_task,
)

__all__ = [
    "Collection",
    "CollectionResult",
    "DistractorFile",
    "RetrievalResult",
    "StsResult",
    "StsTask",
    "TaskResult",
    "evaluate_collection",
    "evaluate_retrieval",
    "evaluate_sts",
    "evaluate_task",
    "find_collections",
    "find_tasks",
    "is_query_itself",
    "judge_run",
    "mrr_at_k",
    "ndcg_at_k",
    "nearest_neighbors",
    "neighbor_agreement",
    "neighbor_overlap",
    "pair_cosines",
    "paired_bootstrap",
    "rank_doc_ids",
    "rank_documents",
    "read_collection",
    "read_collections",
    "read_distractors",
    "read_sts",
    "read_task",
    "recall_at_k",
    "search_agreement",
    "spearman",
]
