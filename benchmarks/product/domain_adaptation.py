"""Does distilling on a person's own texts pay? The whole command, begun from the family, on texts of one domain each.

    python -m benchmarks.product.domain_adaptation --teacher ~/.cache/hpdsearch-models/all-mpnet-base-v2 \
        --texts leaflets.txt.gz --texts dialogues.txt.gz

Of each file, a text a line, some lines chosen at random are distilled on with an empty cache, and others, that neither
this nor any other training has seen, judge: how many of the teacher's ten nearest of them does the encoder find?
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.harness import HPDSEARCH, MODELS, argument_parser, file_identity, open_bytes, positive, run
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
        path: of the file.
        learned: texts to distill on.
        judging: others.
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
    parser.add_argument("--texts", type=Path, action="append", required=True, help="a text a line, .txt or .txt.gz")
    parser.add_argument("--n", type=positive, default=20_000, help="texts to distill on")
    parser.add_argument("--n-judging", type=positive, default=1_000, help="texts to judge by")
    parser.add_argument("--teacher", type=Path, default=MODELS / "all-mpnet-base-v2", help="its folder")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="that training begins from")
    parser.add_argument("--sources", type=Path, help="of the encoder's recipe: the texts drawn from them are left out")
    parser.add_argument("--recipe", default=DEFAULT_ENCODER, help="of the encoder")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of lines")
    options = parser.parse_args()
    known = set(draw_texts(read_recipe(options.recipe), options.sources).texts) if options.sources else set()
    domains = [sample_domain(path, known, options.n, options.n_judging, options.seed) for path in options.texts]
    teacher = Teacher.load(options.teacher)
    measurements: list[Result] = []
    targets: list[Result] = []
    for domain in domains:
        outcomes = [distill_domain(domain, teacher, options.teacher, options.encoder) for _ in range(options.repeats)]
        found, wanted = figures(domain_name(domain.path), outcomes)
        measurements += found
        targets += wanted
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
    """Return the name of a domain: its file's, without endings."""
    return path.name.split(".")[0]


def sample_domain(path: Path, known: set[str], n: int, n_judging: int, seed: int) -> Domain:
    """Choose lines of a file.

    Raises:
        SystemExit: there are too few that are not known.
    """
    with open_bytes(path) as file:
        lines = dict.fromkeys(line.decode().strip() for line in file)
    texts = [line for line in lines if line and line not in known]
    if len(texts) < n + n_judging:
        raise SystemExit(f"{path}: expected {n + n_judging:,} lines that no training has seen, got {len(texts):,}")
    random.Random(seed).shuffle(texts)
    return Domain(path, texts[:n], texts[n : n + n_judging])


def distill_domain(domain: Domain, teacher: Teacher, folder: Path, encoder: str) -> Outcome:
    """Run the command with an empty cache and judge what it made."""
    with tempfile.TemporaryDirectory() as place:
        corpus, output = Path(place) / "texts.txt", Path(place) / "own"
        corpus.write_text("".join(f"{text}\n" for text in domain.training), encoding="utf-8")
        words = [HPDSEARCH, "distill", corpus, "--teacher", folder, "--student", encoder, "-o", output]
        finished = run([*words, "--cache", Path(place) / "cache", "--force", "--json"])
        wanted = teacher.encode(domain.evaluation)
        own, shipped = (
            neighbor_agreement(Encoder.load(one).encode(domain.evaluation), wanted) for one in (output, encoder)
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
