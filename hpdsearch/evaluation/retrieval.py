"""Retrieval quality by exact search over BEIR folders (Thakur et al. 2021, arXiv:2104.08663).

The corpus is read, encoded and compared in blocks, so memory holds one block and the best hits of each query.

- A document is left out of a query's ranking if it has the query's id and contains its text: it is the query itself
  (ArguAna, Quora). BEIR leaves out every document with the query's id, which loses relevant documents in collections
  that number queries and documents alike.
- Means are over the queries that have a relevant document.
- A relevant document that is not in the corpus counts as missed, as in trec_eval. The result reports their number.
- Distractors are documents that are relevant to no query. Of equal cosines, theirs come first.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, cosine_matrix
from hpdsearch.evaluation.beir import Collection
from hpdsearch.evaluation.metrics import Judgments, mrr_at_k, ndcg_at_k, recall_at_k, top_rows

Encode = Callable[[list[str]], Matrix]
Ranking = list[tuple[str, float]]  # doc_id and score, best first
DEPTH = 100  # length of each query's ranking
BLOCK = 2048  # documents or queries that are encoded and compared at once
DISTRACTOR = "\0{:09}"  # doc_id of a distractor, smaller than those of documents
METRICS: dict[str, Callable[[Sequence[str], Judgments], float]] = {
    "nDCG@10": partial(ndcg_at_k, k=10),
    "recall@100": partial(recall_at_k, k=100),
    "MRR@10": partial(mrr_at_k, k=10),
}


@dataclass(frozen=True)
class CollectionResult:
    """The result of one collection.

    Attributes:
        name: name of the collection.
        n_documents: number of documents in the corpus.
        n_without_relevant, n_unknown_queries: judged queries that were left out, see Collection.
        n_unknown_documents: number of relevant documents in the judgments that the corpus lacks.
        values: metric x 100 by metric name and query_id, so that two systems can be compared per query.
        n_distractors: number of distractors among the documents.
    """

    name: str
    n_documents: int
    n_without_relevant: int
    n_unknown_queries: int
    n_unknown_documents: int
    values: Mapping[str, Mapping[str, float]]
    n_distractors: int = 0

    @property
    def n_queries(self) -> int:
        """Number of queries that were evaluated."""
        return len(self.values["nDCG@10"])

    @property
    def means(self) -> dict[str, float]:
        """Mean of each metric over the queries, x 100."""
        return {metric: fmean(values.values()) for metric, values in self.values.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        counts = ["name", "n_documents", "n_queries", "n_without_relevant", "n_unknown_queries", "n_unknown_documents"]
        counts += ["n_distractors"] if self.n_distractors else []
        per_query = {metric: dict(found) for metric, found in self.values.items()}
        return {name: getattr(self, name) for name in counts} | {"means": self.means, "per_query": per_query}


@dataclass(frozen=True)
class RetrievalResult:
    """The results of several collections."""

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
    """Evaluate retrieval with vectors on collections.

    Args:
        collections: at least one.
        encode_queries: function from a block of texts to vectors, float (n, dim), of any length.
        encode_documents: the same for documents; None encodes documents as queries are.
        progress: counts documents.

    Raises:
        CorpusError: a line of a corpus is not as expected, or a corpus holds no relevant document.
    """
    return RetrievalResult(
        tuple(evaluate_collection(each, encode_queries, encode_documents, progress=progress) for each in collections)
    )


def evaluate_collection(
    collection: Collection,
    encode_queries: Encode,
    encode_documents: Encode | None = None,
    *,
    distractors: Matrix | None = None,
    progress: Progress = SILENT,
) -> CollectionResult:
    """Evaluate one collection.

    Args:
        collection: the queries, documents and judgments.
        encode_queries: see `evaluate_retrieval`.
        encode_documents: see `evaluate_retrieval`.
        distractors: vectors of more documents, float (n, dim), which are relevant to no query.
        progress: counts documents.

    Raises:
        CorpusError: a line of the corpus is not as expected, or it holds no relevant document.
    """
    collection.check_corpus()
    rankings, known = rank_documents(
        collection, encode_queries, encode_documents, distractors=distractors, progress=progress
    )
    run = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in rankings.items()}
    return replace(judge_run(collection, run, known), n_distractors=0 if distractors is None else len(distractors))


def judge_run(collection: Collection, run: Mapping[str, Sequence[str]], known: Set[str]) -> CollectionResult:
    """Evaluate the rankings of any search system.

    Args:
        collection: the queries and judgments.
        run: doc_ids of each query of the collection, by query_id, best first, without the query itself.
        known: all doc_ids of the corpus.
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
    distractors: Matrix | None = None,
    progress: Progress = SILENT,
) -> tuple[dict[str, Ranking], set[str]]:
    """Rank the documents of a collection for each query by exact cosine.

    Args:
        collection: the queries and documents.
        encode_queries: function from a block of texts to vectors, float (n, dim), of any length.
        encode_documents: the same for documents; None encodes documents as queries are.
        distractors: vectors of more documents, see evaluate_collection.
        progress: counts documents.

    Returns:
        The DEPTH best documents of each query with their cosines, without the query itself, equal cosines ordered by
        doc_id; and all doc_ids of the corpus.

    Raises:
        CorpusError: a line of the corpus is not as expected.
    """
    encode_documents = encode_documents or encode_queries
    known: set[str] = set()
    texts = list(collection.queries.values())
    blocks = [texts[first : first + BLOCK] for first in range(0, len(texts), BLOCK)]
    queries = np.concatenate([encode_queries(block) for block in blocks])
    best: list[list[tuple[float, str]]] = [[] for _ in texts]  # (-score, doc_id): sorted as hits are ranked
    is_document: set[str] = set()  # ids of the queries that are documents themselves
    documents = collection.documents()
    bar = progress.phase(collection.name, total=None, unit="document")

    def compare(doc_ids: Sequence[str], vectors: Matrix) -> None:
        for first in range(0, len(queries), BLOCK):
            scores = cosine_matrix(queries[first : first + BLOCK], vectors)
            # One more than DEPTH, because the query itself may be among them.
            nearest = top_rows(scores, min(DEPTH + 1, len(doc_ids)))
            for hits, line, rows in zip(best[first : first + BLOCK], scores, nearest, strict=True):
                hits += zip((-line[rows]).tolist(), (doc_ids[row] for row in rows), strict=True)
                hits.sort()
                del hits[DEPTH + 1 :]

    while block := sorted(islice(documents, BLOCK)):  # by doc_id: top_rows then breaks ties by doc_id
        doc_ids = [doc_id for doc_id, _ in block]
        known.update(doc_ids)
        is_document.update(doc_id for doc_id, text in block if is_query_itself(collection.queries.get(doc_id), text))
        compare(doc_ids, encode_documents([text for _, text in block]))
        bar.update(len(block))
    others = queries[:0] if distractors is None else distractors
    for first in range(0, len(others), BLOCK):
        vectors = others[first : first + BLOCK]
        compare([DISTRACTOR.format(first + row) for row in range(len(vectors))], vectors)
    bar.close()
    rankings = {}
    for query_id, hits in zip(collection.queries, best, strict=True):
        itself = query_id if query_id in is_document else None
        rankings[query_id] = [(doc_id, -score) for score, doc_id in hits if doc_id != itself][:DEPTH]
    return rankings, known


def is_query_itself(query: str | None, document: str) -> bool:
    """Return whether a document with the query's id contains the query's text, apart from white space."""
    return query is not None and " ".join(query.split()) in " ".join(document.split())
