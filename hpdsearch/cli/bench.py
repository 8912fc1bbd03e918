"""The command that runs the benchmarks of a checkout: bench."""

import subprocess
import sys
from pathlib import Path

import click

from hpdsearch.errors import HpdsearchError

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench.py"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def bench(words: tuple[str, ...]) -> None:
    """Measure what was won and lost against the teacher, and write a report.

    WORDS are those of benchmarks/bench.py in a checkout of the project (`python benchmarks/bench.py --help`): names of
    benchmarks (quality, encoding, retrieval, engines, pareto; all without any), and data and models by path.

    \b
    hpdsearch bench --quick
    hpdsearch bench --data data/ --texts texts.txt.gz --teacher all-mpnet-base-v2/ --student all-MiniLM-L6-v2/ --peers
    """
    if not SCRIPT.is_file():
        raise HpdsearchError(
            f"{SCRIPT}: expected the benchmarks, which are not installed with the package; "
            "clone the project and install it with pip install -e '.[bench]'"
        )
    code = subprocess.run([sys.executable, SCRIPT, *words], check=False).returncode
    if code:
        raise click.exceptions.Exit(code)
