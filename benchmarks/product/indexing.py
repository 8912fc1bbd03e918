"""Compare the speed of indexing with encoding alone and with encoding by the teacher.

Every round runs two processes. The process of hpdsearch builds an index and also encodes the same texts without an
index, in alternating order. In the process of torch the teacher encodes a sample of these texts, in float32 or bfloat16
(autocast); a probe before the rounds chooses the faster precision.

    python -m benchmarks.product.indexing --corpus examples/wordnet.jsonl.gz --texts 100000
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.harness import (
    BENCHMARKS,
    MODELS,
    SAMPLE,
    argument_parser,
    file_identity,
    first_documents,
    module_command,
    module_environment,
    positive,
    run_interleaved,
    run_json,
)
from benchmarks.common.machine import package_versions
from benchmarks.common.results import Result, measurement, ratios, result, target, write_result
from benchmarks.product.indexing_round import STEPS, passage_texts
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
from hpdsearch.encoder.threads import usable_cores

PRECISIONS = ("float32", "bfloat16")
PROBE_BATCHES = 2  # enough: the difference is large, and its sign depends on the processor's bfloat16 support
Round = dict[str, Any]


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argument_parser(__doc__, "indexing")
    parser.add_argument("--corpus", type=Path, default=SAMPLE, help="file of short documents")
    parser.add_argument("--texts", type=positive, default=100_000, help="documents to index")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="built-in name or encoder folder")
    parser.add_argument(
        "--teacher", type=Path, default=MODELS / "all-mpnet-base-v2", help="model folder of the teacher"
    )
    parser.add_argument("--teacher-texts", type=positive, default=2_000, help="texts that the teacher encodes")
    parser.add_argument("--teacher-batch", type=positive, default=32, help="texts per batch of the teacher")
    options = parser.parse_args()
    encoder = Encoder.load(options.encoder)
    texts = passage_texts(iter(first_documents(options.corpus, options.texts)), encoder)
    sample = sample_evenly(texts, options.teacher_texts)
    teacher = partial(encode_with_teacher, model=options.teacher, batch=options.teacher_batch)
    probe = teacher(sample_evenly(texts, PROBE_BATCHES * options.teacher_batch), PRECISIONS)
    best = min(PRECISIONS, key=lambda precision: float(probe["seconds"][precision]))
    cases: dict[str, Callable[[int], Round]] = {
        "hpdsearch": partial(run_round, options.corpus, options.texts, options.encoder),
        "teacher": lambda _: teacher(sample, [best]),
    }
    rounds = run_interleaved(cases, options.repeats, warm_up=False)  # every process runs a warm-up of its own
    measurements, targets = figures(rounds["hpdsearch"], rounds["teacher"], probe, best)
    settings = {
        "repeats": options.repeats,
        "corpus": file_identity(options.corpus),
        "n_documents": options.texts,
        "n_passages": len(texts),
        "mean_characters": round(mean_length(texts), 1),
        "encoder": encoder.name,
        "encoder_hash": encoder.sha256,
        "threads": usable_cores(),
        "teacher": options.teacher.name,
        "teacher_n_texts": len(sample),
        "teacher_mean_characters": round(mean_length(sample), 1),
        "teacher_batch": options.teacher_batch,
    }
    versions = package_versions(("torch", "transformers"))
    write_result(result("indexing", settings, measurements, targets, versions=versions), options.output)


def run_round(corpus: Path, n: int, encoder: str, number: int) -> Round:
    """Run product.indexing_round; every other round encodes first."""
    order = STEPS if number % 2 == 0 else tuple(reversed(STEPS))
    options = ["--texts", str(n), "--encoder", encoder, "--order", *order]
    found: Round = run_json(module_command("product.indexing_round", corpus, *options), env=module_environment())
    return found


def encode_with_teacher(texts: Sequence[str], precisions: Sequence[str], *, model: Path, batch: int) -> Round:
    """Run peers/teacher_encode.py on the texts and return its report."""
    script = BENCHMARKS / "peers" / "teacher_encode.py"
    options = ["--batch", str(batch), "--threads", str(usable_cores()), "--precisions", *precisions]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        found: Round = run_json([sys.executable, script, file, "--model", model, *options])
    return found


def figures(
    own: Sequence[Round], teacher: Sequence[Round], probe: Round, best: str
) -> tuple[list[Result], list[Result]]:
    """Return measurements and targets.

    Args:
        own: reports of product.indexing_round.
        teacher: reports of teacher_encode.py with the precision `best`.
        probe: report of teacher_encode.py with few texts and every precision.
        best: the fastest precision of the probe.
    """
    built = [one["build_seconds"] for one in own]
    encoded = [one["encode_seconds"] for one in own]
    passages = [one["n_passages"] / one["build_seconds"] for one in own]
    teacher_rate = teacher_rates(teacher, best)
    over_encoding = ratios("indexing / encoder alone", built, encoded)
    over_teacher = ratios("indexing rate / teacher's encoding rate", passages, teacher_rate)
    measurements = [
        measurement("index: corpus file to open index", "s", built),
        measurement("encoder alone, same texts", "s", encoded),
        measurement("encoder within indexing", "s", [one["encode_seconds_in_build"] for one in own]),
        measurement("indexing rate", "documents/s", [one["n_documents"] / one["build_seconds"] for one in own]),
        measurement("indexing rate, passages", "passages/s", passages),
        measurement(f"teacher's encoding rate, {best}", "passages/s", teacher_rate),
        *(
            measurement(f"probe of {probe['n_texts']} texts: teacher, {p}", "passages/s", teacher_rates([probe], p))
            for p in probe["seconds"]
        ),
        over_encoding,
        over_teacher,
    ]
    return measurements, [target(over_encoding, at_most=1.25), target(over_teacher, at_least=4)]


def teacher_rates(rounds: Sequence[Round], precision: str) -> list[float]:
    """Return the texts per second of each round."""
    return [one["n_texts"] / one["seconds"][precision] for one in rounds]


def sample_evenly(texts: Sequence[str], n: int) -> list[str]:
    """Return n texts at equal distances, or all if there are fewer; a corpus may be sorted by topic."""
    n = min(n, len(texts))
    return [texts[position * len(texts) // n] for position in range(n)]


def mean_length(texts: Sequence[str]) -> float:
    """Return the mean number of characters."""
    return sum(map(len, texts)) / len(texts)


if __name__ == "__main__":
    main()
