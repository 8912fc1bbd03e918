"""Evaluate a system on every task and collection: scores, percent of the teacher, bootstrap intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean

import numpy as np

from benchmarks.common.ir_metrics import DEPTH, MEASURES, MRR, NDCG, RECALL, evaluate_run
from benchmarks.common.quality_names import STS
from benchmarks.common.results import Result, Rows, six_digits
from benchmarks.common.vector_cache import Encode
from benchmarks.quality.both_scores import score_candidates
from benchmarks.quality.intervals import Floats, interval_over_pairs, interval_over_queries
from hpdsearch.evaluation import Collection, StsTask, is_query_itself, pair_cosines, rank_documents, spearman
from hpdsearch.lexical import temporary_bm25_index
from hpdsearch.search.rare_words import KnownWords

FLOAT_BYTES = 4  # one dimension as float32

Rankings = Mapping[str, list[tuple[str, float]]]  # query_id -> doc_ids and scores, best first


class RowKind(Enum):
    """The kind of system in a row; the values are stored in result files."""

    TEACHER = "teacher"
    PROJECTED = "projected teacher"
    ENCODER = "encoder"
    FLOAT = "encoder in float32"
    ASYMMETRIC = "asymmetric"
    HYBRID = "hybrid"
    WORDS = "words"
    PEER = "peer"


@dataclass(frozen=True)
class System:
    """A system to measure.

    Attributes:
        kind: kind of the system; HYBRID adds the BM25 ranking.
        name: name in results.
        dim: dimensions of the vectors.
        encode: texts -> vectors (n, dim).
        encode_queries: the same for queries, if they are encoded in another way or by another system.
        known_words: of a hybrid system, query -> its words that the encoder has whole.
    """

    kind: RowKind
    name: str
    dim: int
    encode: Encode
    encode_queries: Encode | None = None
    known_words: KnownWords | None = None


@dataclass(frozen=True)
class SystemScores:
    """The scores of a system.

    Attributes:
        kind, name: see System.
        dim: None for BM25.
        cosines: task -> cosines (n_pairs,); empty for a system that only ranks documents.
        values: collection -> metric -> query_id -> value x 100.
    """

    kind: RowKind
    name: str
    dim: int | None
    cosines: Mapping[str, Floats]
    values: Mapping[str, Mapping[str, Mapping[str, float]]]

    def spearman(self, tasks: Sequence[StsTask]) -> dict[str, float]:
        """Return Spearman x 100 by task; empty without cosines."""
        return {
            task.name: 100 * spearman(self.cosines[task.name], _human_scores(task)) for task in tasks if self.cosines
        }

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """Return collection -> metric -> mean over the queries, x 100."""
        return {name: {m: fmean(v.values()) for m, v in found.items()} for name, found in self.values.items()}

    def mean(self, metric: str) -> float:
        """Return the unweighted mean over the collections."""
        return fmean(means[metric] for means in self.means.values())


def measure(system: System, tasks: Sequence[StsTask], collections: Sequence[Collection]) -> SystemScores:
    """Evaluate a system on all tasks and collections.

    Args:
        system: the system.
        tasks: STS tasks; hybrid and asymmetric systems skip them.
        collections: retrieval collections.
    """
    only_ranks = system.kind in (RowKind.HYBRID, RowKind.ASYMMETRIC)
    cosines = {} if only_ranks else {task.name: pair_cosines(task, system.encode) for task in tasks}
    values = {}
    encode_queries = system.encode_queries or system.encode
    for each in collections:
        if system.kind is RowKind.HYBRID:
            assert system.known_words
            rankings = rank_hybrid(each, encode_queries, system.encode, system.known_words)
        else:
            rankings, _ = rank_documents(each, encode_queries, system.encode)
        values[each.name] = _evaluate(each, rankings)
    return SystemScores(system.kind, system.name, system.dim, cosines, values)


def measure_bm25(collections: Sequence[Collection], bm25: Mapping[str, Rankings]) -> SystemScores:
    """Evaluate BM25 on all collections."""
    values = {each.name: _evaluate(each, bm25[each.name]) for each in collections}
    return SystemScores(RowKind.WORDS, "BM25", None, {}, values)


def _evaluate(collection: Collection, rankings: Rankings) -> dict[str, dict[str, float]]:
    run = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in rankings.items()}
    return evaluate_run(collection.qrels, run)


def rank_hybrid(
    collection: Collection, encode_queries: Encode, encode_documents: Encode, known_words: KnownWords
) -> Rankings:
    """Rank the documents of each query as hybrid search does; the query itself is left out."""
    documents = dict(collection.documents())
    encode = encode_queries, encode_documents, known_words
    scored = score_candidates(documents, collection.queries, *encode, depth=DEPTH)
    return {query_id: candidates.rank_hybrid()[:DEPTH] for query_id, candidates in scored}


def rank_bm25(collection: Collection) -> Rankings:
    """Rank the documents of each query by BM25 over title and text; the query itself is left out."""
    documents = dict(sorted(collection.documents()))  # sorted: equal scores are ordered by row, so by doc_id
    doc_ids = list(documents)
    rankings = {}
    with temporary_bm25_index(documents.values()) as reader:
        for query_id, query in collection.queries.items():
            rows, scores = (found.tolist() for found in reader.search(query, DEPTH + 1))
            itself = query_id if is_query_itself(query, documents.get(query_id, "")) else None
            found = [(doc_ids[row], score) for row, score in zip(rows, scores, strict=True)]
            rankings[query_id] = [pair for pair in found if pair[0] != itself][:DEPTH]
    return rankings


def system_row(found: SystemScores, teacher: SystemScores | None, tasks: Sequence[StsTask], seed: int) -> Result:
    """Return the row of a system for the result file.

    `of_teacher` holds percentages by metric. `less_teacher` holds the difference of the means over tasks and
    collections in points, with its 95 % interval. Both are missing without a teacher.
    """
    row: Result = {"what": found.kind.value, "system": found.name, "dim": found.dim}
    if found.dim:
        row["bytes_a_vector"] = FLOAT_BYTES * found.dim
    means = _mean_scores(found, tasks)
    teacher_means = _mean_scores(teacher, tasks) if teacher else {}
    if found.cosines:
        row["sts"] = {"average": six_digits(means[STS]), "tasks": _six(found.spearman(tasks))}
    row["retrieval"] = {
        "means": _six({metric: means[metric] for metric in MEASURES}),
        "collections": {name: _six(values) for name, values in found.means.items()},
    }
    if teacher:
        row["of_teacher"] = _six({metric: 100 * value / teacher_means[metric] for metric, value in means.items()})
        row["less_teacher"] = {
            metric: _six(
                dict(zip(("mean", "low", "high"), (means[metric] - teacher_means[metric], *interval), strict=True))
            )
            for metric, interval in _intervals(found, teacher, tasks, seed).items()
        }
    return row


def _mean_scores(found: SystemScores, tasks: Sequence[StsTask]) -> dict[str, float]:
    """Return the mean of each metric, STS first if there are tasks."""
    scores = found.spearman(tasks)
    return ({STS: fmean(scores.values())} if scores else {}) | {metric: found.mean(metric) for metric in MEASURES}


def _intervals(
    found: SystemScores, teacher: SystemScores, tasks: Sequence[StsTask], seed: int
) -> dict[str, tuple[float, float]]:
    intervals = {}
    if found.cosines:
        ours, theirs = ([system.cosines[task.name] for task in tasks] for system in (found, teacher))
        intervals[STS] = interval_over_pairs(ours, theirs, [_human_scores(task) for task in tasks], seed)
    one, other = ([by_metric[NDCG] for by_metric in system.values.values()] for system in (found, teacher))
    return intervals | {NDCG: interval_over_queries(one, other, seed)}


def system_table(rows: Sequence[Result]) -> Rows:
    """Return a heading and one row per system: its means, then the value of each task and collection."""
    tasks = list(next((row["sts"]["tasks"] for row in rows if "sts" in row), {}))
    collections = list(rows[0]["retrieval"]["collections"])
    heading = ["system", "dim"]
    for metric in (STS, NDCG):
        heading += [metric, "% of teacher", "minus teacher, 95 % interval"]
    for metric in (RECALL, MRR):
        heading += [metric, "% of teacher"]
    table = [[*heading, *tasks, *collections]]
    for row in rows:
        sts = row.get("sts", {"tasks": {}})
        retrieval = row["retrieval"]
        of_teacher = row.get("of_teacher", {})
        less = row.get("less_teacher", {})
        means = {STS: sts.get("average"), **retrieval["means"]}
        cells = [row["system"], str(row["dim"] or "")]
        for metric in (STS, NDCG):
            cells += [_text(means[metric]), _text(of_teacher.get(metric), 1), _interval(less.get(metric))]
        for metric in (RECALL, MRR):
            cells += [_text(means[metric]), _text(of_teacher.get(metric), 1)]
        cells += [_text(sts["tasks"].get(task)) for task in tasks]
        table.append([*cells, *(_text(retrieval["collections"][name][NDCG]) for name in collections)])
    return table


def _interval(less: Mapping[str, float] | None) -> str:
    return f"{less['low']:+.2f} to {less['high']:+.2f}" if less else ""


def _text(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _six(values: Mapping[str, float]) -> dict[str, float]:
    return {name: six_digits(value) for name, value in values.items()}


def _human_scores(task: StsTask) -> Floats:
    return np.array([score for _, _, score in task.pairs], dtype=np.float64)
