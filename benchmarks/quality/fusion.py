"""Compare ways to combine dense and lexical scores by nDCG@10, each chosen without the evaluated collection.

    python -m benchmarks.quality.fusion --data FOLDER --encoder base --distractors TEXTS...

FOLDER/retrieval contains BEIR folders. Each collection is searched alone and, with --distractors, among the documents
of all collections and texts that answer no query. benchmarks.common.vector_cache keeps the vectors, so that a repeat
encodes nothing.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.common.harness import CACHE, file_identity, positive
from benchmarks.common.results import RESULTS, Result, measurement, plain_table, result, six_digits, write_result
from benchmarks.common.vector_cache import Encode, cached_encoder, collect_texts, encoder_source
from benchmarks.quality.both_scores import Candidates, Floats, score_candidates
from benchmarks.quality.distractors import KINDS, sample_distractors
from hpdsearch.common.files import file_sha256
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import Encoder
from hpdsearch.evaluation import Collection, read_collections
from hpdsearch.evaluation.distractors import SEED
from hpdsearch.evaluation.metrics import ndcg_at_k
from hpdsearch.search.rare_words import KnownWords

USUAL = "rrf 60, depth 100"  # Cormack, Clarke and Buettcher, SIGIR 2009
BEFORE = "first 100 of each alone, dense 0.8"  # until decision 51
WITHOUT_COVERAGE = "cosine + BM25/best + rare words, dense 0.8, depth 30"  # until decision 55
LESS_COVERAGE = "cosine + coverage + BM25/best + rare words, dense 0.7, coverage 0.2, depth 30"  # until decision 77
CHOSEN = "cosine + coverage + BM25/best + rare words, dense 0.65, coverage 0.25, depth 30"  # as in hpdsearch.search
FIXED = ("dense", "lexical", USUAL, BEFORE, WITHOUT_COVERAGE, LESS_COVERAGE, CHOSEN)
DEPTHS = (30, 100)
CONSTANTS = (10, 20, 60)
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)  # weight of the dense score
COVERAGE_WEIGHTS = (0.1, 0.15, 0.2, 0.25, 0.3)
FAMILIES = (
    "rrf",
    "min-max",
    "first 100",
    "cosine + coverage",
    *(f"cosine + BM25/{name}{added}" for name in ("best", "possible", "both") for added in (",", " + rare words")),
)
ALONE = "alone"

Fuse = Callable[[Candidates], Floats]  # candidates -> scores (n,); -inf leaves one out
Setting = tuple[str, str]  # collection, and ALONE or the documents that are added to it
Table = dict[str, dict[Setting, float]]  # method -> setting -> nDCG@10 x 100
Judged = list[tuple[Candidates, Mapping[str, int]]]  # of each query: its candidates and relevant documents


def main() -> None:
    """Read the options, score, fuse, write the result."""
    options = parse_options()
    collections = read_collections(options.data / "retrieval")
    sizes = {kind: max(n) for kind, n in zip(KINDS, (options.short_texts, options.passages), strict=True)}
    distractors = sample_distractors(options.distractors, collections, sizes) if options.distractors else {}
    encoder = Encoder.load(options.encoder, backend=options.backend)
    texts = collect_texts([], collections) | distractors
    source = encoder_source(encoder, encoder.name, options.backend)
    vectors = cached_encoder(source, texts, options.cache)

    def encode(texts: list[str]) -> Matrix:
        return vectors(texts)[:, : options.dim]

    def encode_queries(texts: list[str]) -> Matrix:
        return source.adapt_queries(vectors(texts))[:, : options.dim]

    counts = dict(zip(KINDS, (options.short_texts, options.passages), strict=True))
    mixtures = {f"{n:,} {kind}": texts[:n] for kind, texts in distractors.items() for n in counts[kind]}
    table = score_methods(judge_settings(collections, mixtures, encode_queries, encode, encoder.known_words))
    chosen = choose_without(table)
    print(plain_table(summary(table, chosen)))
    settings = {
        "encoder": f"{encoder.name} {encoder.sha256}",
        "backend": options.backend,
        "dim": options.dim,
        "collections": [f"{each.name} ({len(each.queries)} queries)" for each in collections],
        "corpora": [{"name": each.name, "sha256": file_sha256(each.corpus)} for each in collections],
        "mixtures": list(mixtures),
        "characters of distractors": {kind: list(bounds) for kind, bounds in KINDS.items()},
        "files of distractors": [file_identity(path) for path in sorted(options.distractors)],
        "seed": SEED,
        "order": "each collection alone, then all among the texts of one mixture after the other",
    }
    shown = {name: table[name] for name in FIXED} | chosen
    measurements = [measurement(name, "nDCG@10", values.values()) for name, values in shown.items()]
    made = result("fusion", settings, measurements, [])
    write_result(
        made | {"nDCG@10": {name: _by_mixture(values) for name, values in (table | chosen).items()}}, options.output
    )


def parse_options() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, default=RESULTS / "fusion.json", help="result file")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds retrieval/")
    parser.add_argument("--encoder", default="base", help="built-in name or encoder folder")
    parser.add_argument("--backend", default="onnx-int8", help="backend of the encoder")
    parser.add_argument("--dim", type=positive, default=256, help="dimensions to keep")
    parser.add_argument("--distractors", type=Path, nargs="+", default=[], help="files of one text per line, also .gz")
    parser.add_argument("--short-texts", type=positive, nargs="+", default=[10_000, 100_000], help="how many to mix in")
    parser.add_argument("--passages", type=positive, nargs="+", default=[10_000], help="how many to mix in")
    parser.add_argument("--cache", type=Path, default=CACHE / "vectors", help="folder for vectors; they are kept")
    return parser.parse_args()


def judge_settings(
    collections: Sequence[Collection],
    mixtures: Mapping[str, Sequence[str]],
    encode_queries: Encode,
    encode_documents: Encode,
    known_words: KnownWords,
) -> Iterator[tuple[Setting, Judged]]:
    """Yield the judged queries of each collection: alone, and in all mixtures.

    Args:
        collections: judged collections.
        mixtures: texts to mix with the documents of all collections, by name.
        encode_queries: texts of queries -> vectors (n, dim).
        encode_documents: the same for documents.
        known_words: query -> its words that the encoder has whole.
    """
    encode = encode_queries, encode_documents, known_words
    for each in collections:
        print(each.name, file=sys.stderr)
        scored = score_candidates(dict(each.documents()), each.queries, *encode, depth=max(DEPTHS))
        yield (each.name, ALONE), [(candidates, each.qrels[query_id]) for query_id, candidates in scored]
    documents = {_place(each.name, doc_id): text for each in collections for doc_id, text in each.documents()}
    queries = {_place(each.name, query_id): text for each in collections for query_id, text in each.queries.items()}
    for mixture, texts in mixtures.items():
        print(mixture, file=sys.stderr)
        mixed = documents | {_place("text", str(number)): text for number, text in enumerate(texts)}
        found = dict(score_candidates(mixed, queries, *encode, depth=max(DEPTHS)))
        for each in collections:
            yield (
                (each.name, mixture),
                [
                    (
                        found[_place(each.name, query_id)],
                        {_place(each.name, doc): grade for doc, grade in judged.items()},
                    )
                    for query_id, judged in each.qrels.items()
                ],
            )


def _place(collection: str, own_id: str) -> str:
    return f"{collection}/{own_id}"


def score_methods(settings: Iterator[tuple[Setting, Judged]]) -> Table:
    """Return the nDCG@10 of each ranking and of each fusion method, by setting."""
    methods: dict[str, Fuse] = {
        "dense": lambda found: np.where(found.dense_ranks < max(DEPTHS), found.cosines, -np.inf),
        "lexical": lambda found: np.where(found.lexical_ranks < max(DEPTHS), found.bm25, -np.inf),
    } | fusion_methods()
    table: Table = {name: {} for name in methods}
    for setting, judged in settings:
        for name, fuse in methods.items():
            table[name][setting] = fmean(100 * _ndcg(found, fuse(found), relevant) for found, relevant in judged)
    return table


def fusion_methods() -> dict[str, Fuse]:
    """Return every fusion method by name."""
    made: dict[str, Fuse] = {}
    for alpha in ALPHAS:
        made[f"first 100 of each alone, dense {alpha}"] = lists_alone(100, alpha)
    for depth in DEPTHS:
        for constant in CONSTANTS:
            made[f"rrf {constant}, depth {depth}"] = rrf(constant, depth, 0.5)
            for alpha in ALPHAS:
                if alpha != 0.5:
                    made[f"rrf {constant}, dense {alpha}, depth {depth}"] = rrf(constant, depth, alpha)
        for alpha in ALPHAS:
            name = f"dense {alpha}, depth {depth}"
            made[f"min-max, {name}"] = min_max(depth, alpha)
            for label, normalizer in NORMALIZERS.items():
                made[f"cosine + BM25/{label}, {name}"] = convex(depth, alpha, normalizer)
                made[f"cosine + BM25/{label} + rare words, {name}"] = convex(depth, alpha, normalizer, with_bonus=True)
            for weight in COVERAGE_WEIGHTS:
                if alpha + weight <= 1:
                    name = f"dense {alpha}, coverage {weight}, depth {depth}"
                    made[f"cosine + coverage + BM25/best + rare words, {name}"] = with_coverage(depth, alpha, weight)
    return made


def rrf(constant: int, depth: int, alpha: float) -> Fuse:
    """Return reciprocal rank fusion: the sum of weight / (constant + rank).

    Source: Cormack, Clarke and Buettcher, SIGIR 2009.
    """

    def fuse(found: Candidates) -> Floats:
        parts = [
            np.where(ranks < depth, weight / (constant + ranks + 1), 0.0)
            for weight, ranks in ((alpha, found.dense_ranks), (1 - alpha, found.lexical_ranks))
        ]
        return np.where(_is_first(found, depth), parts[0] + parts[1], -np.inf)

    return fuse


def min_max(depth: int, alpha: float) -> Fuse:
    """Return a convex combination of both scores of every candidate, each scaled linearly to 0..1."""

    def fuse(found: Candidates) -> Floats:
        is_first = _is_first(found, depth)
        scaled = [_scale(scores, is_first) for scores in (found.cosines, found.bm25)]
        return np.where(is_first, alpha * scaled[0] + (1 - alpha) * scaled[1], -np.inf)

    return fuse


def convex(depth: int, alpha: float, normalizer: Callable[[Candidates], float], *, with_bonus: bool = False) -> Fuse:
    """Return alpha * cosine + (1 - alpha) * BM25 / normalizer of every candidate, with its bonus if wanted."""

    def fuse(found: Candidates) -> Floats:
        is_first = _is_first(found, depth)
        scores = alpha * found.cosines + (1 - alpha) * found.bm25 / (normalizer(found) or 1.0)
        if with_bonus:
            scores = scores + found.bonuses
            is_first = is_first | (found.bonuses > 0)
        return np.where(is_first, scores, -np.inf)

    return fuse


def with_coverage(depth: int, alpha: float, weight: float) -> Fuse:
    """Return alpha * cosine + weight * coverage + the rest of 1 * BM25 / best BM25 + the bonus of every candidate."""

    def fuse(found: Candidates) -> Floats:
        is_candidate = _is_first(found, depth) | (found.bonuses > 0)
        bm25 = found.bm25 / (best_bm25(found) or 1.0)
        scores = alpha * found.cosines + weight * found.coverage + (1 - alpha - weight) * bm25 + found.bonuses
        return np.where(is_candidate, scores, -np.inf)

    return fuse


def lists_alone(depth: int, alpha: float) -> Fuse:
    """Return alpha * cosine + (1 - alpha) * BM25 / best BM25, where scores beyond each ranking's depth are unknown.

    A document outside the dense ranking gets the cosine of its last document; outside the lexical ranking it gets 0.
    """

    def fuse(found: Candidates) -> Floats:
        in_dense = found.dense_ranks < depth
        in_lexical = found.lexical_ranks < depth
        cosines = np.where(in_dense, found.cosines, found.cosines[in_dense].min(initial=1.0))
        bm25 = np.where(in_lexical, found.bm25, 0.0) / (best_bm25(found) or 1.0)
        return np.where(in_dense | in_lexical, alpha * cosines + (1 - alpha) * bm25, -np.inf)

    return fuse


def best_bm25(found: Candidates) -> float:
    """Return the largest BM25 score of a query."""
    return float(found.bm25.max(initial=0.0))


NORMALIZERS: Mapping[str, Callable[[Candidates], float]] = {
    "best": best_bm25,
    "possible": lambda found: found.possible_bm25,
    "both": lambda found: math.sqrt(best_bm25(found) * found.possible_bm25),  # their geometric mean
}


def _is_first(found: Candidates, depth: int) -> np.ndarray:
    return (found.dense_ranks < depth) | (found.lexical_ranks < depth)


def _scale(scores: Floats, is_first: np.ndarray) -> Floats:
    low = scores[is_first].min(initial=np.inf)
    high = scores[is_first].max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _ndcg(found: Candidates, scores: Floats, relevant: Mapping[str, int]) -> float:
    best = np.argsort(-scores, kind="stable")[:10]  # doc_ids ascend
    return ndcg_at_k([found.doc_ids[row] for row in best if scores[row] > -np.inf], relevant, k=10)


def choose_without(table: Table) -> Table:
    """Return, for each family, the values of each collection with the method that is best on all other collections.

    The method is chosen by the mean over the other collections, alone and in all mixtures.
    """
    fused = {name: values for name, values in table.items() if name not in ("dense", "lexical")}
    families = {f"best {family.rstrip(',')}": family for family in FAMILIES} | {"best of all": ""}
    chosen: Table = {}
    for label, prefix in families.items():
        family = {name: values for name, values in fused.items() if name.startswith(prefix)}
        if family:
            chosen[f"{label}, chosen without the collection"] = {
                setting: family[_best_without(setting[0], family)][setting] for setting in table["dense"]
            }
    return chosen


def _best_without(collection: str, table: Table) -> str:
    def mean_of_others(name: str) -> float:
        return fmean(value for (other, _), value in table[name].items() if other != collection)

    return max(table, key=mean_of_others)


def summary(table: Table, chosen: Table) -> list[list[str]]:
    """Return the rows to print: both rankings, fixed fusions, the best of each family, the methods chosen without."""
    means = {name: fmean(values.values()) for name, values in table.items()}
    best = [
        max(names, key=means.__getitem__)
        for family in FAMILIES
        if (names := [n for n in table if n.startswith(family)])
    ]
    fixed = [name for name in FIXED if name in table]
    shown = {name: table[name] for name in dict.fromkeys([*fixed, *best])} | chosen
    by_mixture = {name: _by_mixture(values) for name, values in shown.items()}
    mixtures = list(by_mixture["dense"])
    head = ["nDCG@10", "mean", *(f"mean, {mixture}" for mixture in mixtures), "least gain", *by_mixture["dense"][ALONE]]
    return [head] + [
        [
            name,
            *(f"{value:.2f}" for value in (fmean(shown[name].values()), *(fmean(found[m].values()) for m in mixtures))),
            f"{least_gain(shown[name], table):+.2f}",
            *(f"{value:.2f}" for value in found[ALONE].values()),
        ]
        for name, found in by_mixture.items()
    ]


def least_gain(values: Mapping[Setting, float], table: Table) -> float:
    """Return the smallest difference from the better of dense and lexical ranking in any setting."""
    return min(value - max(table["dense"][setting], table["lexical"][setting]) for setting, value in values.items())


def _by_mixture(values: Mapping[Setting, float]) -> dict[str, Result]:
    """Return mixture -> collection -> value."""
    found: dict[str, Result] = {}
    for (collection, mixture), value in values.items():
        found.setdefault(mixture, {})[collection] = six_digits(value)
    return found


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
