"""How fast, small and exact is each index at each width, among real texts, and what does it find of what was judged?

At each size: the teacher's exact search, inverted lists, one byte and one bit a number; every kind and codec of ours at
one width, some at others. At one size also the smaller encoders, MiniLM, model2vec, words, and words with meaning.

    python -m benchmarks.retrieval.run --data data/ --fill texts/*.txt.gz --teacher MODEL --student MODEL --model2vec
    python -m benchmarks.retrieval.run --data data/ --mix NAME --fill texts.txt --quick   # 5,000 documents, no teacher
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.harness import CACHE, ROOT, argument_parser, positive
from benchmarks.common.mixed_corpus import MixedCorpus, mix_corpus, select_collections
from benchmarks.common.model2vec import model2vec_versions
from benchmarks.common.results import Result, package_versions, result, write_result
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
PAPER = "exact search over float32 vectors of 1024 numbers took 8.2 times as long as of 128 (arXiv:2203.07687)"
HOW = {
    "queries": "those that were judged, each text once",
    "single queries": f"one thread, {K} hits, at least {LEAST_QUERIES} questions a round where all take longer",
    "batch": f"as many questions at once as were asked in a round one at a time, {CORES} threads",
    "flat f32": "faiss's IndexFlatIP alone, at every width; all indexes of the teacher and of peers are faiss alone. "
    "The others of hpdsearch's encoders are its own, with exact rescoring",
    "vectors": "kept as float16, as the product keeps them; all indexes are built from those files",
    "tuning": f"ann_recall@{K} {IndexSpec().ann_recall} on held-out vectors of the corpus: ours as the product does, "
    "the teacher's nprobe and rescore by powers of 2; shown is the recall of the questions",
    "build": f"from the vectors file to the finished index, tuning included, {CORES} threads, in a process of its own; "
    "one run. BM25: in this process. hybrid: the whole index folder, without encoding",
    "resident memory": f"growth of RssAnon and RssFile in a process that opens the index and asks {SERVED:,} "
    f"questions, {SERVED_SECONDS:g} s of them if they take longer; at most {MEMORY_ROUNDS} rounds",
    "bytes a document": "the index file: codes, lists and tables in memory; words: their files on disk",
    "nDCG@10": "x 100, mean over all judged queries, ids judged by ir-measures",
    "hybrid": "hits with documents and highlights, vectors of the questions given",
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
    parser.add_argument("--mix", nargs="+", default=["trecqa", "covid-faq"], help="judged collections among the texts")
    parser.add_argument("--fill", type=Path, nargs="+", required=True, help="texts to mix in, one a line, also .gz")
    parser.add_argument("--n", type=positive, nargs="+", default=[10_000, 100_000, 1_000_000], help="documents")
    parser.add_argument("--dims", type=positive, nargs="+", default=[128, 256], help="every index at the narrowest")
    parser.add_argument("--encoder", default="base", help="name or folder; its indexes are measured at every size")
    parser.add_argument("--others", nargs="*", help="encoders measured at one size; without: small static")
    parser.add_argument("--others-at", type=positive, default=100_000, help="that size; words and peers there, too")
    parser.add_argument(
        "--query-encoder", "--asks", default="static", help="encoder of the same space that asks the encoder's index"
    )
    parser.add_argument("--teacher", type=Path, help="its folder; without: vectors of its width instead")
    parser.add_argument("--teacher-up-to", type=positive, default=100_000, help="documents that it encodes")
    parser.add_argument("--space", type=Path, default=SPACE, help="pads vectors back to the teacher's width")
    parser.add_argument("--student", type=Path, help="folder of the model that the students begin with (MiniLM)")
    parser.add_argument("--model2vec", action="store_true", help="also model2vec, distilled from the teacher")
    parser.add_argument("--seconds", type=float, default=5, help="a system asks fewer questions in a round beyond")
    parser.add_argument("--cache", type=Path, default=CACHE / "vectors", help="the vectors of texts, kept")
    parser.add_argument("--work", type=Path, default=CACHE / "retrieval", help="folder for index files, which are kept")
    parser.add_argument("--rebuild", action="store_true", help="write and build again what is in the work folder")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_N:,} documents, few questions, two rounds")
    options = parser.parse_args()
    if options.quick:
        options.n, options.others_at = [QUICK_N], QUICK_N
        options.others = QUICK_OTHERS if options.others is None else options.others
        options.repeats, options.seconds = min(options.repeats, QUICK_REPEATS), min(options.seconds, QUICK_SECONDS)
    options.others = ["small", "static"] if options.others is None else options.others
    if min(options.n) < IVF_MINIMUM:
        parser.error(f"--n: expected at least {IVF_MINIMUM:,} (fewer have no inverted lists), got {min(options.n):,}")
    if options.model2vec and not options.teacher:
        parser.error("--model2vec needs --teacher: the folder that it distills")
    options.n = sorted(options.n)
    return options


def write(
    options: argparse.Namespace, mix: MixedCorpus, models: Models, sizes: Sequence[int], made: list[Result]
) -> None:
    """Write what was measured so far."""
    back_projected = [n for n in sizes if models.is_back_projected(n)]
    names = ("repeats", "n", "dims", "others_at", "teacher_up_to", "seconds", "quick", "rebuild")
    settings = {name: getattr(options, name) for name in names} | {"measured so far": list(sizes)}
    settings |= models.settings() | {"texts": dict(mix.about)} | HOW
    if back_projected:
        listed = ", ".join(f"{n:,}" for n in back_projected)
        settings["lifted"] = (
            f"the teacher's rows at {listed} documents: our vectors padded back to its width by the transposed "
            "projection: the speed is the same, the recall is that of our vectors, and no nDCG@10 is given"
        )
    versions = package_versions(["ir-measures", "torch", "transformers"])
    versions |= model2vec_versions() if options.model2vec else {}
    write_result(result("retrieval", settings, made, [], versions=versions), options.output)


if __name__ == "__main__":
    main()
