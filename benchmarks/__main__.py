"""Run the benchmarks that compare hpdsearch with its teacher and with the usual alternatives, and write the report.

    python -m benchmarks quick                      # small versions on the shipped data: minutes
    python -m benchmarks quick encoding             # one of them
    python -m benchmarks all --data data/ --texts texts/*.txt.gz --teacher MODEL --student MODEL --peers
    python -m benchmarks quality encoding --data data/ --teacher MODEL

Each benchmark is a module of its own and runs in its own process: `python -m benchmarks.quality.run --help`.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common.harness import BENCHMARKS, CACHE, Command, module_command, module_environment
from benchmarks.common.quick_data import NAME as QUICK_COLLECTION
from benchmarks.common.quick_data import make_quick_data
from benchmarks.common.results import RESULTS
from benchmarks.encoding.models import BASELINES
from benchmarks.report.write import write_report

NAMES = {
    "quality": "quality.run",
    "encoding": "encoding.run",
    "retrieval": "retrieval.run",
    "engines": "engines.run",
    "pareto": "report.pareto",
}
QUICKLY, ALL = "quick", "all"
QUICK = BENCHMARKS / "quick"  # results and report of --quick; not in git


def main() -> None:
    """Read the options, run one script after the other, write the report."""
    options = parse_options()
    results = options.output or (QUICK if options.quick else RESULTS)
    results.mkdir(parents=True, exist_ok=True)
    if options.quick:
        options.data = CACHE / "quick"
        options.texts = make_quick_data(options.data)
    for name in options.names:
        command = module_command(NAMES[name], *command_options(name, options, results))
        print(f"== {name}: {' '.join(map(str, command[1:]))}", file=sys.stderr)
        environment = {**os.environ, **module_environment()}
        if code := subprocess.run(list(map(str, command)), check=False, env=environment).returncode:
            raise SystemExit(f"{name}: expected exit code 0, got {code}; see above. The finished results are kept.")
    page = (results if options.quick or options.output else BENCHMARKS) / "REPORT.md"
    print(write_report(results, page))


def parse_options() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = f"{ALL}, or some of {', '.join(NAMES)}; {QUICKLY} first runs small versions on the shipped data"
    parser.add_argument("names", nargs="+", metavar="NAME", help=known)
    parser.add_argument("--data", type=Path, help="folder that holds sts/ and retrieval/ (BEIR folders)")
    parser.add_argument(
        "--texts", type=Path, nargs="+", default=[], help="files of texts to search among, one text per line, also .gz"
    )
    parser.add_argument("--teacher", type=Path, help="folder of all-mpnet-base-v2")
    parser.add_argument("--teacher-cache", type=Path, help="cache folder of the teacher's embeddings, if it exists")
    parser.add_argument("--student", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument(
        "--peers", action="store_true", help="also run the baselines, each in its own virtual environment"
    )
    parser.add_argument(
        "--mix", nargs="+", default=["trecqa", "covid-faq"], help="judged collections to hide among the texts"
    )
    parser.add_argument("--n", type=int, nargs="+", help="sizes of the retrieval benchmark")
    parser.add_argument("--output", type=Path, help="folder of results and report; default: benchmarks/results")
    options = parser.parse_args()
    if unknown := set(options.names) - {*NAMES, QUICKLY, ALL}:
        parser.error(f"expected {QUICKLY}, {ALL} or names of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    options.quick = QUICKLY in options.names
    if not options.quick and not options.data:
        parser.error(f"expected --data FOLDER, or {QUICKLY}; benchmarks/README.md lists the public data sets")
    chosen = [name for name in options.names if name in NAMES]
    options.names = list(NAMES) if ALL in options.names or not chosen else chosen
    return options


def command_options(name: str, options: argparse.Namespace, results: Path) -> Command:
    """Return the options of one of the scripts."""
    made: list[str | Path] = ["--output", results / f"{name}.json"]
    if name == "pareto":
        return [*made, "--results", results]
    if options.quick:
        return [*made, *quick_options(name, options)]
    teacher = ["--teacher", options.teacher] if options.teacher else []
    student = ["--student", options.student] if options.student else []
    mixed = ["--data", options.data, "--mix", *options.mix, "--fill", *options.texts]
    if name == "quality":
        cached = ["--teacher-cache", options.teacher_cache] if options.teacher_cache else []
        fit = ["--fit-texts", *options.texts] if options.student and options.texts else []
        return [*made, "--data", options.data, *teacher, *cached, *student, *fit, *model2vec_option(options)]
    if name == "encoding":
        baselines = ["--peers", *BASELINES] if options.peers and options.teacher else []
        return [*made, *teacher, *student, *baselines]
    if name == "retrieval":
        sizes = ["--n", *map(str, options.n)] if options.n else []
        return [*made, *mixed, *teacher, *student, *sizes, *model2vec_option(options)]
    return [*made, *mixed, *([] if options.peers else ["--engines", "hpdsearch"])]


def model2vec_option(options: argparse.Namespace) -> list[str]:
    """Return the option for model2vec, which distills the teacher; empty without baselines or without a teacher."""
    return ["--model2vec"] if options.peers and options.teacher else []


def quick_options(name: str, options: argparse.Namespace) -> Command:
    """Return the options of a script for a quick run."""
    data = ["--data", options.data]
    if name == "quality":
        return [*data, "--cache", options.data / "vectors", "--dims", "256", "128", "64"]
    if name == "encoding":
        return ["--quick"]
    work = options.data / "work" / name
    return ["--quick", *data, "--mix", QUICK_COLLECTION, "--fill", *options.texts, "--work", work]


if __name__ == "__main__":
    main()
