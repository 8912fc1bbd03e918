"""Compare ways to fuse dense and lexical rankings by nDCG@10, each chosen without the evaluated collection.

    python -m benchmarks.quality.fusion --data FOLDER --encoder base

FOLDER/retrieval contains BEIR folders. benchmarks.common.vector_cache keeps the vectors, so that a repeat encodes
nothing.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.common.harness import CACHE, positive
from benchmarks.common.results import RESULTS, Result, measurement, plain_table, result, six_digits, write_result
from benchmarks.common.vector_cache import Encode, cached_encoder, collect_texts, encoder_source
from hpdsearch.common.files import file_sha256
from hpdsearch.common.vectors import cosine_matrix, unit_rows
from hpdsearch.encoder import Encoder
from hpdsearch.evaluation import Collection, read_collections
from hpdsearch.evaluation.metrics import ndcg_at_k, top_rows
from hpdsearch.evaluation.retrieval import is_query_itself
from hpdsearch.lexical import temporary_bm25_index

USUAL = "rrf 60, depth 100"  # Cormack, Clarke and Buettcher, SIGIR 2009
CHOSEN = "cosine + BM25/max, dense 0.8, depth 100"  # as in hpdsearch.search.fusion
DEPTHS = (50, 100, 200)
CONSTANTS = (10, 20, 60)
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # weight of the dense ranking

Ranking = list[tuple[str, float]]  # doc_id and score, best first
Fuse = Callable[[Ranking, Ranking], dict[str, float]]
Table = dict[str, dict[str, float]]  # ranking or fusion method -> collection -> nDCG@10 x 100


@dataclass(frozen=True)
class Rankings:
    """The hits of both rankings for each judged query of a collection."""

    collection: Collection
    dense: Mapping[str, Ranking]
    lexical: Mapping[str, Ranking]


def main() -> None:
    """Read the options, rank, fuse, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, default=RESULTS / "fusion.json", help="result file")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds retrieval/")
    parser.add_argument("--encoder", default="base", help="built-in name or encoder folder")
    parser.add_argument("--dim", type=positive, default=256, help="dimensions to keep")
    parser.add_argument("--cache", type=Path, default=CACHE / "vectors", help="folder for vectors; they are kept")
    options = parser.parse_args()
    collections = read_collections(options.data / "retrieval")
    encoder = Encoder.load(options.encoder, backend="onnx")
    encode = cached_encoder(
        encoder_source(encoder, encoder.name, "onnx"), collect_texts([], collections), options.cache
    )
    rankings = []
    for collection in collections:
        print(collection.name, file=sys.stderr)
        rankings.append(rank_collection(collection, lambda texts: encode(texts)[:, : options.dim]))
    table = score_methods(rankings)
    chosen = choose_without(table)
    rows = summary(table, chosen)
    print(plain_table(rows))
    settings = {
        "encoder": f"{encoder.name} {encoder.sha256}",
        "dim": options.dim,
        "collections": [f"{each.name} ({len(each.queries)} queries)" for each in collections],
        "corpora": [{"name": each.name, "sha256": file_sha256(each.corpus)} for each in collections],
        "order": "one collection after the other, as listed",
    }
    measurements = [
        measurement(name, "nDCG@10", values.values())
        for name, values in [*((name, table[name]) for name in ("dense", "lexical", USUAL, CHOSEN)), *chosen.items()]
    ]
    made = result("fusion", settings, measurements, [])
    write_result(made | {"nDCG@10": {name: _six(values) for name, values in table.items()}}, options.output)


def rank_collection(collection: Collection, encode: Encode) -> Rankings:
    """Rank a collection's documents by cosine and by BM25; equal scores are ordered by doc_id."""
    documents = dict(sorted(collection.documents()))
    doc_ids = list(documents)
    texts = list(collection.queries.values())
    depth = max(DEPTHS) + 1
    scores = cosine_matrix(unit_rows(encode(texts)), unit_rows(encode(list(documents.values()))))
    dense, lexical = {}, {}
    with temporary_bm25_index(documents.values()) as reader:
        best = top_rows(scores, min(depth, len(doc_ids)))
        for (query_id, query), line, rows in zip(collection.queries.items(), scores, best, strict=True):
            itself = query_id if is_query_itself(query, documents.get(query_id, "")) else None
            dense[query_id] = _leave_out(itself, ((doc_ids[row], float(line[row])) for row in rows))
            found = zip(*(part.tolist() for part in reader.search(query, depth)), strict=True)
            lexical[query_id] = _leave_out(itself, ((doc_ids[row], score) for row, score in found))
    return Rankings(collection, dense, lexical)


def score_methods(rankings: Sequence[Rankings]) -> Table:
    """Return the nDCG@10 of each ranking and of each fusion method, by collection."""
    single: dict[str, Fuse] = {"dense": lambda dense, _: dict(dense), "lexical": lambda _, lexical: dict(lexical)}
    return {
        name: {each.collection.name: _mean_ndcg(each, fuse) for each in rankings}
        for name, fuse in [*single.items(), *fusion_methods().items()]
    }


def fusion_methods() -> dict[str, Fuse]:
    """Return every fusion method by name."""
    made: dict[str, Fuse] = {}
    for depth in DEPTHS:
        for constant in CONSTANTS:
            made[f"rrf {constant}, depth {depth}"] = _cut(depth, rrf(constant, 0.5))
            for alpha in ALPHAS:
                if alpha != 0.5:
                    made[f"rrf {constant}, dense {alpha}, depth {depth}"] = _cut(depth, rrf(constant, alpha))
        for alpha in ALPHAS:
            made[f"min-max, dense {alpha}, depth {depth}"] = _cut(depth, convex(min_max, min_max, alpha))
            made[f"cosine + BM25/max, dense {alpha}, depth {depth}"] = _cut(
                depth, convex(keep_scores, scale_by_max, alpha)
            )
    return made


def rrf(constant: int, alpha: float) -> Fuse:
    """Return reciprocal rank fusion: the sum of weight / (constant + rank).

    Source: Cormack, Clarke and Buettcher, SIGIR 2009.
    """

    def fuse(dense: Ranking, lexical: Ranking) -> dict[str, float]:
        fused: dict[str, float] = {}
        for weight, ranking in ((alpha, dense), (1 - alpha, lexical)):
            for rank, (doc_id, _) in enumerate(ranking, start=1):
                fused[doc_id] = fused.get(doc_id, 0.0) + weight / (constant + rank)
        return fused

    return fuse


def convex(
    normalize_dense: Callable[[Ranking], Ranking], normalize_lexical: Callable[[Ranking], Ranking], alpha: float
) -> Fuse:
    """Return a convex combination of normalized scores.

    A document outside the dense ranking gets the score of its last document; outside the lexical ranking it gets 0.
    """

    def fuse(dense: Ranking, lexical: Ranking) -> dict[str, float]:
        cosines = dict(normalize_dense(dense))
        bm25 = dict(normalize_lexical(lexical))
        lowest = min(cosines.values(), default=0.0)
        doc_ids = cosines.keys() | bm25.keys()
        return {doc_id: alpha * cosines.get(doc_id, lowest) + (1 - alpha) * bm25.get(doc_id, 0.0) for doc_id in doc_ids}

    return fuse


def min_max(ranking: Ranking) -> Ranking:
    """Scale the scores linearly: the last becomes 0, the first 1."""
    if not ranking:
        return []
    high, low = ranking[0][1], ranking[-1][1]
    return [(doc_id, (score - low) / (high - low) if high > low else 1.0) for doc_id, score in ranking]


def scale_by_max(ranking: Ranking) -> Ranking:
    """Divide the scores by the first one."""
    return [(doc_id, score / ranking[0][1]) for doc_id, score in ranking]


def keep_scores(ranking: Ranking) -> Ranking:
    """Return the scores unchanged."""
    return ranking


def choose_without(table: Table) -> Table:
    """Return, for each family of methods, each collection's value with the method that is best on all others."""
    families = {"best rrf": "rrf", "best min-max": "min-max", "best cosine + BM25/max": "cosine", "best of all": ""}
    fused = {name: values for name, values in table.items() if name not in ("dense", "lexical")}
    return {
        f"{family}, chosen without the collection": {
            name: fused[_best_without(name, {key: v for key, v in fused.items() if key.startswith(prefix)})][name]
            for name in fused[USUAL]
        }
        for family, prefix in families.items()
    }


def summary(table: Table, chosen: Table) -> list[list[str]]:
    """Return the rows to print: both rankings, two fixed fusions, the best of each family, the chosen methods."""
    means = {name: fmean(values.values()) for name, values in table.items()}
    best = [max((n for n in table if n.startswith(p)), key=means.__getitem__) for p in ("rrf", "min-max", "cosine")]
    shown = {name: table[name] for name in dict.fromkeys(["dense", "lexical", USUAL, CHOSEN, *best])} | chosen
    head = ["nDCG@10", "mean", *table["dense"]]
    return [head] + [
        [name, *(f"{value:.2f}" for value in (fmean(values.values()), *values.values()))]
        for name, values in shown.items()
    ]


def _best_without(collection: str, table: Table) -> str:
    def mean_of_others(name: str) -> float:
        return fmean(value for other, value in table[name].items() if other != collection)

    return max(table, key=mean_of_others)


def _mean_ndcg(rankings: Rankings, fuse: Fuse) -> float:
    values = []
    for query_id, relevant in rankings.collection.qrels.items():
        scores = fuse(rankings.dense[query_id], rankings.lexical[query_id])
        run = sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))
        values.append(100 * ndcg_at_k(run, relevant, k=10))
    return fmean(values)


def _cut(depth: int, fuse: Fuse) -> Fuse:
    return lambda dense, lexical: fuse(dense[:depth], lexical[:depth])


def _leave_out(itself: str | None, ranking: Iterable[tuple[str, float]]) -> Ranking:
    return sorted(((d, s) for d, s in ranking if d != itself), key=lambda pair: (-pair[1], pair[0]))[: max(DEPTHS)]


def _six(values: Mapping[str, float]) -> Result:
    return {name: six_digits(value) for name, value in values.items()}


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
