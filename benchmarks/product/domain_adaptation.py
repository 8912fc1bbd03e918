"""Measure the gain of distillation on texts of one domain, starting from a shipped encoder.

    python -m benchmarks.product.domain_adaptation --teacher ~/.cache/hpdsearch-models/all-mpnet-base-v2 \
        --texts leaflets.txt.gz --texts dialogues.txt.gz

A random sample of each file's lines is the training set of `hpdsearch distill` with an empty cache. Other lines, which
no training has seen, are the evaluation set. The score is the share of the teacher's ten nearest neighbors that the
encoder also returns.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.harness import (
    HPDSEARCH,
    MODELS,
    Command,
    argument_parser,
    file_identity,
    open_bytes,
    positive,
    run,
)
from benchmarks.common.results import Result, measurement, result, target, write_result
from hpdsearch.distillation.recipe import draw_texts, read_recipe
from hpdsearch.distillation.teacher.teacher import Teacher
from hpdsearch.encoder import DEFAULT_ENCODER, Encoder
from hpdsearch.evaluation import neighbor_agreement

MINUTES = 20.0
UNIT = "% of neighbours"  # stored: own_texts.json has this spelling


@dataclass(frozen=True)
class Domain:
    """One domain's texts.

    Attributes:
        path: the file.
        training: texts to distill on.
        evaluation: other texts.
    """

    path: Path
    training: list[str]
    evaluation: list[str]


@dataclass(frozen=True)
class Outcome:
    """Time and quality of one distillation; agreements are 0..1."""

    minutes: float
    shipped: float
    own: float


def main() -> None:
    """Read the options, distill on each domain, write the result."""
    parser = argument_parser(__doc__, "own_texts", repeats=1)
    parser.add_argument("--texts", type=Path, action="append", required=True, help=".txt or .txt.gz, one text per line")
    parser.add_argument("--n", type=positive, default=20_000, help="number of training texts")
    parser.add_argument("--n-judging", type=positive, default=1_000, help="number of evaluation texts")
    parser.add_argument("--teacher", type=Path, default=MODELS / "all-mpnet-base-v2", help="the teacher's folder")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="encoder from which training starts")
    parser.add_argument(
        "--sources", type=Path, help="source folder of the encoder's recipe; its training texts are left out"
    )
    parser.add_argument("--recipe", default=DEFAULT_ENCODER, help="recipe of the encoder")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    options = parser.parse_args()
    known = set(draw_texts(read_recipe(options.recipe), options.sources).texts) if options.sources else set()
    domains = [sample_domain(path, known, options.n, options.n_judging, options.seed) for path in options.texts]
    teacher = Teacher.load(options.teacher)
    measurements: list[Result] = []
    targets: list[Result] = []
    for domain in domains:
        outcomes = [distill_domain(domain, teacher, options.teacher, options.encoder) for _ in range(options.repeats)]
        domain_measurements, domain_targets = figures(domain_name(domain.path), outcomes)
        measurements += domain_measurements
        targets += domain_targets
    settings = {
        "repeats": options.repeats,
        "texts": [file_identity(path) for path in options.texts],
        "n": options.n,
        "n_judging": options.n_judging,
        "encoder": f"{Encoder.load(options.encoder).name} {Encoder.load(options.encoder).sha256}",
        "left_out": f"{len(known):,} texts of recipe {options.recipe}" if options.sources else "nothing",
        "seed": options.seed,
    }
    write_result(result("own_texts", settings, measurements, targets), options.output)


def domain_name(path: Path) -> str:
    """Return the name of a domain: the file name without suffixes."""
    return path.name.split(".")[0]


def sample_domain(path: Path, known: set[str], n: int, n_judging: int, seed: int) -> Domain:
    """Sample training and evaluation texts from the lines of a file that are not in `known`.

    Raises:
        SystemExit: the file has too few such lines.
    """
    with open_bytes(path) as file:
        lines = dict.fromkeys(line.decode().strip() for line in file)
    texts = [line for line in lines if line and line not in known]
    if len(texts) < n + n_judging:
        raise SystemExit(f"{path}: expected {n + n_judging:,} lines that no training has seen, got {len(texts):,}")
    random.Random(seed).shuffle(texts)
    return Domain(path, texts[:n], texts[n : n + n_judging])


def distill_domain(domain: Domain, teacher: Teacher, teacher_folder: Path, encoder: str) -> Outcome:
    """Run `hpdsearch distill` with an empty cache and evaluate the new and the shipped encoder."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "texts.txt"
        output = Path(folder) / "own"
        corpus.write_text("".join(f"{text}\n" for text in domain.training), encoding="utf-8")
        command: Command = [
            HPDSEARCH,
            "distill",
            corpus,
            "--teacher",
            teacher_folder,
            "--student",
            encoder,
            "-o",
            output,
        ]
        finished = run([*command, "--cache", Path(folder) / "cache", "--force", "--json"])
        reference = teacher.encode(domain.evaluation)
        own, shipped = (
            neighbor_agreement(Encoder.load(one).encode(domain.evaluation), reference) for one in (output, encoder)
        )
    return Outcome(finished.seconds / 60, shipped, own)


def figures(name: str, outcomes: Sequence[Outcome]) -> tuple[list[Result], list[Result]]:
    """Return measurements and targets of one domain."""
    minutes = measurement(f"{name}: distilled in", "min", [outcome.minutes for outcome in outcomes])
    shipped = measurement(f"{name}: shipped encoder", UNIT, [100 * one.shipped for one in outcomes])
    own = measurement(f"{name}: own encoder", UNIT, [100 * one.own for one in outcomes])
    gain = measurement(f"{name}: gained", "points", [100 * (one.own - one.shipped) for one in outcomes])
    return [minutes, shipped, own, gain], [target(minutes, at_most=MINUTES), target(gain, at_least=0.1)]


if __name__ == "__main__":
    main()
