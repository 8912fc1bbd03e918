"""Retrieval: are the documents that answer a query among its nearest? Exact search over BEIR folders.

The corpus is read, encoded and compared a block at a time, so memory holds one block and the best hits of each query.
A document of the query's own id that holds the query's text is the query itself (ArguAna, Quora) and is left out; BEIR
leaves out every document of the query's id, which loses answers where queries and documents are numbered alike.
Means are over queries that have a relevant document. One that is judged relevant but is not in the corpus cannot be
found and counts as missed, as in trec_eval; how many there are is reported.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, cosine_matrix, unit_rows
from hpdsearch.evaluation.beir import Collection
from hpdsearch.evaluation.metrics import Judged, mrr_at_k, ndcg_at_k, recall_at_k, top_rows

Encode = Callable[[list[str]], Matrix]
Ranking = list[tuple[str, float]]  # doc_id and score, best first
DEPTH = 100  # hits kept of each query
BLOCK = 2048  # documents, and queries, encoded and compared at once
METRICS: dict[str, Callable[[Sequence[str], Judged], float]] = {
    "nDCG@10": partial(ndcg_at_k, k=10),
    "recall@100": partial(recall_at_k, k=100),
    "MRR@10": partial(mrr_at_k, k=10),
}


@dataclass(frozen=True)
class CollectionResult:
    """What one collection gave.

    Attributes:
        name: of the collection.
        n_documents: in the corpus.
        n_without_relevant, n_unknown_queries: judged queries that were left out, see Collection.
        n_unknown_documents: relevant judgements of documents that the corpus does not have.
        values: metric -> query_id -> value x 100, so that two systems can be compared query by query.
    """

    name: str
    n_documents: int
    n_without_relevant: int
    n_unknown_queries: int
    n_unknown_documents: int
    values: Mapping[str, Mapping[str, float]]

    @property
    def n_queries(self) -> int:
        """Queries that were asked."""
        return len(self.values["nDCG@10"])

    @property
    def means(self) -> dict[str, float]:
        """Metric -> mean over the queries, x 100."""
        return {metric: fmean(values.values()) for metric, values in self.values.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        counts = ("name", "n_documents", "n_queries", "n_without_relevant", "n_unknown_queries", "n_unknown_documents")
        per_query = {metric: dict(found) for metric, found in self.values.items()}
        return {name: getattr(self, name) for name in counts} | {"means": self.means, "per_query": per_query}


@dataclass(frozen=True)
class RetrievalResult:
    """What the collections gave."""

    collections: tuple[CollectionResult, ...]

    @property
    def means(self) -> dict[str, float]:
        """Metric -> plain mean over the collections, x 100."""
        return {metric: fmean(found.means[metric] for found in self.collections) for metric in METRICS}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"means": self.means, "collections": [found.as_dict() for found in self.collections]}


def evaluate_retrieval(
    collections: Sequence[Collection],
    encode_queries: Encode,
    encode_documents: Encode | None = None,
    *,
    progress: Progress = SILENT,
) -> RetrievalResult:
    """Measure vectors on collections.

    Args:
        collections: at least one.
        encode_queries: texts -> vectors (n, dim) of any length; called with blocks of texts.
        encode_documents: the same for documents, into the same space; None: as queries.
        progress: counts documents.

    Raises:
        CorpusError: a line of a corpus is not as expected.
    """
    documents = encode_documents or encode_queries
    return RetrievalResult(tuple(_evaluate(found, encode_queries, documents, progress) for found in collections))


def _evaluate(
    collection: Collection, encode_queries: Encode, encode_documents: Encode, progress: Progress
) -> CollectionResult:
    rankings, known = rank_documents(collection, encode_queries, encode_documents, progress=progress)
    run = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in rankings.items()}
    return judge_run(collection, run, known)


def judge_run(collection: Collection, run: Mapping[str, Sequence[str]], known: Set[str]) -> CollectionResult:
    """Measure what any search found.

    Args:
        collection: what was asked.
        run: of each of its queries, by query_id, the doc_ids found, best first, without the query itself.
        known: every doc_id of the corpus.
    """
    values = {
        metric: {query_id: 100 * value(run[query_id], judged) for query_id, judged in collection.qrels.items()}
        for metric, value in METRICS.items()
    }
    relevant = [doc_id for judged in collection.qrels.values() for doc_id, grade in judged.items() if grade > 0]
    return CollectionResult(
        name=collection.name,
        n_documents=len(known),
        n_without_relevant=collection.n_without_relevant,
        n_unknown_queries=collection.n_unknown_queries,
        n_unknown_documents=sum(doc_id not in known for doc_id in relevant),
        values=values,
    )


def rank_documents(
    collection: Collection,
    encode_queries: Encode,
    encode_documents: Encode | None = None,
    *,
    progress: Progress = SILENT,
) -> tuple[dict[str, Ranking], set[str]]:
    """Find the nearest documents of each query, exactly.

    Args:
        collection: whose queries are asked.
        encode_queries: texts -> vectors (n, dim) of any length; called with blocks of texts.
        encode_documents: the same for documents, into the same space; None: as queries.
        progress: counts documents.

    Returns:
        of each query its DEPTH best documents and their cosines, without the query itself, equal ones by doc_id; every
        doc_id of the corpus.

    Raises:
        CorpusError: a line of the corpus is not as expected.
    """
    encode_documents = encode_documents or encode_queries
    known: set[str] = set()
    texts = list(collection.queries.values())
    blocks = [texts[first : first + BLOCK] for first in range(0, len(texts), BLOCK)]
    queries = np.concatenate([unit_rows(encode_queries(block)) for block in blocks])
    best: list[list[tuple[float, str]]] = [[] for _ in texts]  # (-score, doc_id), which sorts as hits are ranked
    themselves: set[str] = set()
    documents = collection.documents()
    bar = progress.phase(collection.name, total=None, unit="document")
    while block := sorted(islice(documents, BLOCK)):  # by doc_id: top_rows then breaks ties by doc_id
        doc_ids = [doc_id for doc_id, _ in block]
        known.update(doc_ids)
        themselves.update(doc_id for doc_id, text in block if is_query_itself(collection.queries.get(doc_id), text))
        vectors = unit_rows(encode_documents([text for _, text in block]))
        for first in range(0, len(queries), BLOCK):
            scores = cosine_matrix(queries[first : first + BLOCK], vectors)
            nearest = top_rows(scores, min(DEPTH + 1, len(block)))  # one more, as the query itself may be there
            for hits, line, rows in zip(best[first : first + BLOCK], scores, nearest, strict=True):
                hits += zip((-line[rows]).tolist(), (doc_ids[row] for row in rows), strict=True)
                hits.sort()
                del hits[DEPTH + 1 :]
        bar.update(len(block))
    bar.close()
    rankings = {}
    for query_id, hits in zip(collection.queries, best, strict=True):
        itself = query_id if query_id in themselves else None
        rankings[query_id] = [(doc_id, -score) for score, doc_id in hits if doc_id != itself][:DEPTH]
    return rankings, known


def is_query_itself(query: str | None, document: str) -> bool:
    """Return whether a document of the query's id holds the query's text."""
    return query is not None and " ".join(query.split()) in " ".join(document.split())
