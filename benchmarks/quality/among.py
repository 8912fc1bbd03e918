"""Measure the quality of dense search among many texts: judged collections hidden in a haystack.

    python -m benchmarks.quality.among --data FOLDER --fill texts/*.txt.gz --teacher MODEL --student MODEL --model2vec

The options and systems are those of benchmarks.quality.run, the documents and queries those of the retrieval benchmark:
queries are searched among the judged documents of all mixed collections and short texts, of which many are questions.
Encoders with a query adapter are also measured without it. Search is exact, and vectors are kept.

With --keep, the rows of the systems that are not measured now stay in the result file, if their texts are the same: a
new encoder takes minutes, a teacher hours. The setting `kept` says when and on which machine those were measured.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks.common.harness import positive
from benchmarks.common.ir_metrics import DEPTH, NDCG, evaluate_run
from benchmarks.common.machine import package_versions
from benchmarks.common.mixed_corpus import MixedCorpus, mix_corpus, select_collections
from benchmarks.common.results import (
    RESULTS,
    Result,
    measurement,
    plain_table,
    result,
    six_digits,
    target,
    write_result,
)
from benchmarks.common.vector_cache import Texts
from benchmarks.quality.judge import RowKind, System
from benchmarks.quality.kept_rows import describe_kept, merge_rows, read_earlier
from benchmarks.quality.run import iterate_systems, option_parser
from benchmarks.report.among_rows import among_rows
from benchmarks.retrieval.vectors import BLOCK
from hpdsearch.common.vectors import Matrix, cosine_matrix
from hpdsearch.encoder import Encoder
from hpdsearch.evaluation import read_collections
from hpdsearch.evaluation.metrics import top_rows

RANKED = 64  # queries that are ranked at once
# Least nDCG@10 among the most documents, in percent of the teacher, and points above all-MiniLM-L6-v2.
GOALS = {("base", 256): 93.0, ("base", 128): 87.0, ("small", 256): 82.0, ("static", 256): 65.0}
ABOVE_STUDENT = 3.0
WITHOUT = "{} without query adapter"


def main() -> None:
    """Read the options, measure one system after the other, write the result."""
    parser = option_parser(__doc__, RESULTS / "among.json")
    parser.add_argument("--mix", nargs="+", default=["trecqa", "covid-faq"], help="judged collections to hide")
    parser.add_argument("--fill", type=Path, nargs="+", required=True, help="files of haystack texts, also .gz")
    parser.add_argument("--n", type=positive, nargs="+", default=[10_000, 100_000], help="numbers of documents")
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows of the result file for the systems that are not measured now"
    )
    options = parser.parse_args()
    found = select_collections(read_collections(options.data / "retrieval"), options.mix)
    mix = mix_corpus(found, options.fill, max(options.n))
    task = {"n": options.n, "texts": mix.about}
    earlier = read_earlier(options.output, task) if options.keep else None
    rows = []
    for system in with_and_without_adapter(iterate_systems(options, collect_blocks(mix), in_float=False)):
        print(f"{system.name}, {system.dim}", file=sys.stderr)
        scores = judge(system, mix, options.n)
        rows.append({"what": system.kind.value, "system": system.name, "dim": system.dim, "documents": scores})
    loaded = [Encoder.load(location) for location in options.encoders]
    settings = task | {
        "encoders": [f"{one.name} {one.sha256}" for one in loaded],
        "n_fit": options.n_fit,
        "seed": options.seed,
    }
    if earlier:
        measured = rows
        rows = merge_rows(earlier["systems"], measured, [one.name for one in loaded])
        settings["kept"] = describe_kept(earlier, rows, measured)
    print(plain_table(among_rows(rows)))
    measurements, targets = measure_goals(rows)
    made = result("among", settings, measurements, targets, versions=package_versions(["ir-measures"]))
    write_result(made | {"systems": rows}, options.output)


def collect_blocks(mix: MixedCorpus) -> Texts:
    """Return the texts of the queries, each once, and of each block of documents, as benchmarks.retrieval does."""
    documents = list(mix.documents.values())
    parts = {"mixed-queries": list(dict.fromkeys(mix.queries.values()))}
    for number, first in enumerate(range(0, len(documents), BLOCK)):
        parts[f"mixed-{number:05d}"] = documents[first : first + BLOCK]
    return parts


def with_and_without_adapter(systems: Iterator[System]) -> Iterator[System]:
    """Yield the dense systems; one that encodes queries in another way than documents also without this."""
    for system in systems:
        if system.kind is RowKind.HYBRID:
            continue
        yield system
        if system.kind is RowKind.ENCODER and system.encode_queries:
            yield replace(system, name=WITHOUT.format(system.name), encode_queries=None)


def judge(system: System, mix: MixedCorpus, sizes: Sequence[int]) -> dict[str, Result]:
    """Return nDCG@10 x 100 by number of documents: the mean of all queries, and that of each collection."""
    doc_ids = list(mix.documents)
    queries = (system.encode_queries or system.encode)(list(mix.queries.values()))
    documents = system.encode(list(mix.documents.values()))
    found = {}
    for n in sizes:
        run = {
            query_id: [doc_ids[row] for row in rows]
            for query_id, rows in zip(mix.queries, nearest(queries, documents[:n]), strict=True)
        }
        values = evaluate_run(mix.qrels, run)[NDCG]
        of_collection: dict[str, list[float]] = {}
        for query_id, value in values.items():
            of_collection.setdefault(query_id.partition("/")[0], []).append(value)
        found[f"{n:,}"] = {
            NDCG: six_digits(fmean(values.values())),
            "collections": {name: six_digits(fmean(each)) for name, each in of_collection.items()},
        }
    return found


def nearest(queries: Matrix, documents: Matrix) -> Iterator[list[int]]:
    """Yield the rows of the nearest documents of each query, best first; equal cosines by row."""
    for first in range(0, len(queries), RANKED):
        cosines = cosine_matrix(queries[first : first + RANKED], documents)
        yield from top_rows(cosines, min(DEPTH, len(documents))).tolist()


def measure_goals(rows: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """Return the measurements and targets among the most documents; without a teacher or student there are fewer."""
    most = most_documents(rows)
    values = {(row["system"], row["dim"]): row["documents"][most][NDCG] for row in rows}
    teacher = next((row for row in rows if row["what"] == RowKind.TEACHER.value), None)
    whole = values[teacher["system"], teacher["dim"]] if teacher else 0.0
    student = student_name(rows)
    of_student = max((value for (name, _), value in values.items() if name == student), default=None)
    measurements, targets = [], []
    for (name, dim), limit in GOALS.items():
        if teacher and (name, dim) in values:
            label = f"{name}, {dim}: {NDCG} among {most}"
            measurements.append(measurement(label, "% of the teacher", [100 * values[name, dim] / whole]))
            targets.append(target(measurements[-1], at_least=limit))
    if of_student is not None and ("base", 256) in values:
        label = f"base, 256: {NDCG} among {most}, above {student}"
        measurements.append(measurement(label, "points", [values["base", 256] - of_student]))
        targets.append(target(measurements[-1], at_least=ABOVE_STUDENT))
    return measurements, targets


def most_documents(rows: Sequence[Result]) -> str:
    """Return the largest number of documents, as the rows name it."""
    sizes: list[str] = list(rows[0]["documents"])
    return max(sizes, key=lambda n: int(n.replace(",", "")))


def student_name(rows: Sequence[Result]) -> str:
    """Return the name of the model that the students start from: the peer that is not projected and not model2vec."""
    peers: list[str] = [row["system"] for row in rows if row["what"] == RowKind.PEER.value]
    return next((name for name in peers if name != "model2vec" and not name.endswith(" projected")), "")


if __name__ == "__main__":
    main()
