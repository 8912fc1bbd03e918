"""Measure texts per second, the latency of one text and the share of the processor's peak, for every encoder.

    python -m benchmarks.encoding.run --peers model2vec sentence-transformers
    python -m benchmarks.encoding.run --quick          # only our encoders: half a minute

The baselines are the teacher, sentence-transformers (in torch and in ONNX), fastembed and model2vec. Short texts are
dictionary entries of 17 to 23 tokens; a passage is a sequence of entries with 200 tokens or more. Each model has a
process of its own that loads it once and is pinned to 1 or 2 cores. All models are interleaved in each round, together
with products of large float32 matrices, whose best rate is the peak. The teacher has four configurations in torch:
plain transformers or the batches of distillation, each in float32 and bfloat16. A probe chooses the fastest one for the
rounds.
"""

import argparse
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.harness import MODELS, QUERIES, SAMPLE, argument_parser, file_identity, positive, read_queries
from benchmarks.common.model2vec import model2vec_versions
from benchmarks.common.results import result, write_result
from benchmarks.common.sentence_transformers import sentence_transformers_versions
from benchmarks.encoding.figures import figures
from benchmarks.encoding.flops import count_text_operations
from benchmarks.encoding.matmul_peak import SIZE, installed_libraries
from benchmarks.encoding.models import (
    BASELINES,
    FASTEMBED,
    MODEL2VEC,
    SENTENCE_TRANSFORMERS,
    Model,
    baseline_makers,
    fastembed_versions,
    prepare_baselines,
    teacher_configurations,
    worker,
)
from benchmarks.encoding.rounds import PASSAGES, SHORT, TEACHER, RoundResults, Workload, measure
from hpdsearch.corpus import read_corpus
from hpdsearch.encoder import Encoder
from hpdsearch.encoder.folder import find_folder
from hpdsearch.encoder.threads import usable_cores

SHORT_TOKENS, PASSAGE_TOKENS = range(17, 24), 200  # without special tokens
N_TEXTS = {SHORT: 16_384, PASSAGES: 1024}  # maximum per pass
DEFAULT_TEACHER = MODELS / "all-mpnet-base-v2"
QUICK = {"repeats": 2, "seconds": 0.3, "singles": 20}


def main() -> None:
    """Read the options, measure, write the result."""
    options = parse_options()
    failed: dict[str, str] = {}
    own = {Encoder.load(location).name: location for location in options.encoders}
    models = {
        name: Model(worker("encoder", location, options.backend), find_folder(location))
        for name, location in own.items()
    }
    if options.peers:
        models |= prepare_baselines(baseline_makers(options.peers, options.teacher, options.student), failed)
    counter = Encoder.load(options.encoders[0])
    texts = make_texts((document.text for document in read_corpus(SAMPLE)), counter, options.seed)
    made = measure(
        models,
        teacher_configurations(options.teacher) if options.teacher else {},
        ["numpy"] if options.quick else installed_libraries(),
        Workload(texts, read_queries(), options.seconds, options.singles),
        options.threads,
        options.repeats,
    )
    tokens = {what: [len(spans) for spans in counter.token_spans(listed)] for what, listed in texts.items()}
    operations = model_operations(models, options.teacher, texts)
    measurements, targets = figures(made, tokens, operations, options.threads, same_size=options.student.resolve().name)
    settings = describe_settings(options, own, made, tokens)
    contents = result("encoding", settings, [*measurements, *made.probes], targets, versions=collect_versions(made))
    failed |= made.failed
    write_result(contents | ({"failed": failed} if failed else {}), options.output)


def parse_options() -> argparse.Namespace:
    """Return the options; `teacher` is None without a teacher.

    Raises:
        SystemExit: a model's folder is missing, or options exclude each other.
    """
    parser = argument_parser(__doc__, "encoding")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoders", nargs="+", default=["base", "small", "static"], help="names or folders")
    parser.add_argument("--teacher", type=Path, help=f"teacher's folder; default: {DEFAULT_TEACHER} if it exists")
    parser.add_argument("--peers", nargs="+", choices=BASELINES, default=[], help="baselines to run; default: none")
    parser.add_argument(
        "--student",
        type=Path,
        default=MODELS / "all-MiniLM-L6-v2",
        help="second model for sentence-transformers, as large as base",
    )
    parser.add_argument("--quick", action="store_true", help="only our encoders, few rounds")
    parser.add_argument(
        "--threads", type=positive, nargs="+", default=sorted({1, min(2, usable_cores())}), help="cores"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="approximate seconds of a pass; default: 1")
    parser.add_argument("--singles", type=positive, default=40, help="maximum single texts per round; default: 40")
    parser.add_argument(
        "--backend", default="quick", help="backend of the encoders; default: quick, the choice of a plain install"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of texts; default: 0")
    options = parser.parse_args()
    if options.quick:
        if options.teacher or options.peers:
            parser.error("--quick measures only our encoders: expected neither --teacher nor --peers with it")
        parser.set_defaults(**QUICK)  # options on the command line take precedence
        return parser.parse_args()
    if options.teacher is None and DEFAULT_TEACHER.is_dir():
        options.teacher = DEFAULT_TEACHER
    if options.peers and options.teacher is None:
        parser.error("--peers: expected the teacher's folder, which baselines run, too; give --teacher FOLDER")
    for folder in (options.teacher, options.student if SENTENCE_TRANSFORMERS in options.peers else None):
        if folder and not (folder / "config.json").is_file():
            raise SystemExit(f"{folder}: expected a folder with a model, but there is no config.json in it")
    if options.teacher is None:
        print(f"no teacher is measured: expected a folder {DEFAULT_TEACHER}, or --teacher FOLDER", file=sys.stderr)
    return options


def make_texts(entries: Iterable[str], encoder: Encoder, seed: int) -> dict[str, list[str]]:
    """Make SHORT and PASSAGES from distinct entries in a seeded order; the encoder counts the tokens."""
    texts = list(dict.fromkeys(entries))
    random.Random(seed).shuffle(texts)
    counts = map(len, encoder.token_spans(texts))
    short = [(text, n) for text, n in zip(texts, counts, strict=True) if n in SHORT_TOKENS]
    passages, parts, n_tokens = [], [], 0
    for text, n in short:
        parts.append(text)
        n_tokens += n
        if n_tokens >= PASSAGE_TOKENS:
            passages.append(" ".join(parts))
            parts, n_tokens = [], 0
    return {SHORT: [text for text, _ in short[: N_TEXTS[SHORT]]], PASSAGES: passages[: N_TEXTS[PASSAGES]]}


def model_operations(
    models: Mapping[str, Model], teacher: Path | None, texts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[int]]]:
    """Return the operations of each text by system; token tables have none."""
    folders = {name: model.folder for name, model in models.items()} | {TEACHER: teacher}
    counted = {
        folder: {what: count_text_operations(folder, listed) for what, listed in texts.items()}
        for folder in {folder for folder in folders.values() if folder}
    }
    return {
        name: {what: counts for what, counts in counted[folder].items() if counts is not None}
        for name, folder in folders.items()
        if folder and None not in counted[folder].values()
    }


def describe_settings(
    options: argparse.Namespace, own: Mapping[str, str], made: RoundResults, tokens: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Return the settings for the result."""
    settings = {
        "repeats": options.repeats,
        "threads": options.threads,
        "seconds_a_pass": options.seconds,
        "encoders": [f"{name} {Encoder.load(location).sha256}" for name, location in own.items()],
        "backend": options.backend,
        "peers": options.peers,
        "texts": file_identity(SAMPLE),
        "tokens_a_text": [f"{what} {np.mean(counts):.1f}" for what, counts in tokens.items()],
        "single_texts": file_identity(QUERIES),
        "matrices": f"float32, {SIZE} x {SIZE}",
        "seed": options.seed,
    }
    if options.teacher:
        runs_as = [f"{way} on {threads} core{'s' * (threads > 1)}" for threads, way in made.chosen.items()]
        settings |= {"teacher": options.teacher.resolve().name, "teacher_runs_as": runs_as}
    return settings


def collect_versions(made: RoundResults) -> dict[str, str]:
    """Return the package versions of the measured baselines."""
    systems = {case.system for case in made.seconds}
    found = sentence_transformers_versions(systems)
    if MODEL2VEC in systems:
        found |= model2vec_versions()
    if any(name.endswith(FASTEMBED) for name in systems):
        found |= fastembed_versions()
    return found


if __name__ == "__main__":
    main()
