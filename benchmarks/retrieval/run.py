"""Measure latency, memory, ann_recall and nDCG@10 of every index at every width, over real texts.

The systems at each size are the teacher's exact search, IVF, sq8 and binary codes, every index type and codec of ours
at one width, and some at other widths. At one size, the smaller encoders, MiniLM, model2vec, BM25 and hybrid search are
also measured.

    python -m benchmarks.retrieval.run --data data/ --fill texts/*.txt.gz --teacher MODEL --student MODEL --model2vec
    python -m benchmarks.retrieval.run --data data/ --mix NAME --fill texts.txt --quick   # 5,000 documents, no teacher
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.harness import CACHE, ROOT, argument_parser, positive
from benchmarks.common.machine import package_versions
from benchmarks.common.mixed_corpus import MixedCorpus, mix_corpus, select_collections
from benchmarks.common.model2vec import model2vec_versions
from benchmarks.common.results import Result, result, write_result
from benchmarks.retrieval.models import Models
from benchmarks.retrieval.size import MEMORY_ROUNDS, CorpusSizeRun
from benchmarks.retrieval.systems import SERVED, SERVED_SECONDS
from benchmarks.retrieval.vectors import Texts
from benchmarks.scale.recall import K
from benchmarks.scale.timing import CORES, LEAST_QUERIES
from hpdsearch.dense import IndexSpec
from hpdsearch.dense.auto import IVF_MINIMUM
from hpdsearch.evaluation import read_collections

SPACE = ROOT / "hpdsearch" / "encoders" / "spaces" / "all-mpnet-base-v2-256"
QUICK_N, QUICK_REPEATS, QUICK_SECONDS, QUICK_OTHERS = 5_000, 2, 0.5, ["static"]
PAPER = "exact float32 search took 8.2 times as long with 1024 dimensions as with 128 (arXiv:2203.07687)"
HOW = {
    "queries": "the judged queries, each text once",
    "single queries": f"one thread, {K} hits, at least {LEAST_QUERIES} queries per round for a slow system",
    "batch": f"as many queries at once as a round of single queries has, {CORES} threads",
    "flat f32": "plain faiss (IndexFlatIP) at every width; all indexes of teacher and baselines are plain faiss. "
    "The other indexes of hpdsearch's encoders are its own, with exact rescoring",
    "vectors": "float16, as in an index folder; all indexes are built from these files",
    "tuning": f"ann_recall@{K} {IndexSpec().ann_recall} on held-out vectors of the corpus: ours as in an index folder, "
    "the teacher's nprobe and rescore by powers of 2; the tables show the recall of the judged queries",
    "build": f"from the vectors file to the finished index, with tuning, {CORES} threads, in a process of its own; "
    "one run. BM25: in this process. hybrid: the complete index folder, without encoding",
    "resident memory": f"growth of RssAnon and RssFile in a process that opens the index and runs {SERVED:,} "
    f"queries, for at most {SERVED_SECONDS:g} s; at most {MEMORY_ROUNDS} rounds",
    "bytes a document": "the index file: codes, lists and tables in memory; BM25: the files on disk",
    "nDCG@10": "x 100, mean over all judged queries, computed from ids by ir-measures",
    "hybrid": "hits with documents and highlights; the query vectors are given",
    "whole path": "one text at a time, one thread: encoder, then search",  # stored
    "paper": PAPER,
}


def main() -> None:
    """Read the options, measure size by size, write the result after each."""
    options = read_options()
    mix = mix_corpus(
        select_collections(read_collections(options.data / "retrieval"), options.mix), options.fill, max(options.n)
    )
    if mix.n_judged > min(options.n):
        raise SystemExit(f"--n: expected at least {mix.n_judged:,}, the judged documents, got {min(options.n):,}")
    texts = Texts(mix)
    models = Models(options, texts)
    made: list[Result] = []
    for done, n in enumerate(options.n, start=1):
        print(f"{n:,} documents", flush=True)
        made += CorpusSizeRun(n, texts, models, options).measure()
        write(options, mix, models, options.n[:done], made)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argument_parser(__doc__, "retrieval")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder that holds retrieval/ (BEIR folders)")
    parser.add_argument(
        "--mix", nargs="+", default=["trecqa", "covid-faq"], help="judged collections to hide among the texts"
    )
    parser.add_argument(
        "--fill", type=Path, nargs="+", required=True, help="files of haystack texts, one per line, also .gz"
    )
    parser.add_argument("--n", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000], help="corpus sizes")
    parser.add_argument(
        "--dims", type=positive, nargs="+", default=[128, 256], help="widths; the smallest has every index"
    )
    parser.add_argument("--encoder", default="base", help="name or folder; its indexes are measured at every size")
    parser.add_argument("--others", nargs="*", help="encoders measured at one size; default: small static")
    parser.add_argument(
        "--others-at",
        type=positive,
        default=100_000,
        help="size at which other encoders, BM25 and baselines are measured",
    )
    parser.add_argument(
        "--query-encoder", default="static", help="query encoder of asymmetric search, in the same space"
    )
    parser.add_argument("--teacher", type=Path, help="teacher's folder; default: back-projected vectors of its width")
    parser.add_argument(
        "--teacher-up-to", type=positive, default=100_000, help="largest size with vectors of the teacher"
    )
    parser.add_argument(
        "--space", type=Path, default=SPACE, help="space for the back-projection to the teacher's width"
    )
    parser.add_argument("--student", type=Path, help="folder of the model that the students begin with (MiniLM)")
    parser.add_argument("--model2vec", action="store_true", help="also measure model2vec, distilled from the teacher")
    parser.add_argument("--seconds", type=float, default=5, help="time limit of a round for a slow system")
    parser.add_argument("--cache", type=Path, default=CACHE / "vectors", help="folder for vectors; they are kept")
    parser.add_argument("--work", type=Path, default=CACHE / "retrieval", help="folder for index files; they are kept")
    parser.add_argument(
        "--rebuild", action="store_true", help="write and build existing files of the work folder again"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_N:,} documents, few queries, two rounds")
    options = parser.parse_args()
    if options.quick:
        options.n = [QUICK_N]
        options.others_at = QUICK_N
        options.others = QUICK_OTHERS if options.others is None else options.others
        options.repeats = min(options.repeats, QUICK_REPEATS)
        options.seconds = min(options.seconds, QUICK_SECONDS)
    options.others = ["small", "static"] if options.others is None else options.others
    if min(options.n) < IVF_MINIMUM:
        parser.error(f"--n: expected at least {IVF_MINIMUM:,} (smaller indexes have no IVF), got {min(options.n):,}")
    if options.model2vec and not options.teacher:
        parser.error("--model2vec needs --teacher: the folder that it distills")
    options.n = sorted(options.n)
    return options


def write(
    options: argparse.Namespace, mix: MixedCorpus, models: Models, sizes: Sequence[int], made: list[Result]
) -> None:
    """Write the measurements made so far."""
    back_projected = [n for n in sizes if models.is_back_projected(n)]
    names = ("repeats", "n", "dims", "others_at", "teacher_up_to", "seconds", "quick", "rebuild")
    settings = {name: getattr(options, name) for name in names} | {"measured so far": list(sizes)}
    settings |= models.settings() | {"texts": dict(mix.about)} | HOW
    if back_projected:
        listed = ", ".join(f"{n:,}" for n in back_projected)
        settings["lifted"] = (  # stored key
            f"the teacher's rows at {listed} documents: our vectors, back-projected by the transposed projection; "
            "the speed is the same, the recall is that of our vectors, and there is no nDCG@10"
        )
    versions = package_versions(["ir-measures", "torch", "transformers"])
    versions |= model2vec_versions() if options.model2vec else {}
    write_result(result("retrieval", settings, made, [], versions=versions), options.output)


if __name__ == "__main__":
    main()
