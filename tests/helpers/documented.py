"""Run the commands and the Python of a page in a folder of its own, and compare the output that the page shows.

`hpdsearch` and `python` run this checkout. `pip` only checks that the extras exist, and `make` that the targets exist.
`python -m venv` makes an empty environment. Installations are tested in tests/packaging/.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCORE = re.compile(r"\b[01]\.\d+\b")

_HPDSEARCH = """#!{python}
import os, sys
from hpdsearch.cli import main
extra = os.environ.get("DISTILL_OPTIONS", "").split() if sys.argv[1:2] == ["distill"] else []
sys.argv = ["hpdsearch", *sys.argv[1:], *extra]
main()
"""
_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; : > "$3/bin/activate"; else exec {python} "$@"; fi
"""
_PIP = """#!{python}
import configparser, re, sys
setup = configparser.ConfigParser()
setup.read("{root}/setup.cfg")
assert sys.argv[1] == "install", sys.argv
for extra in re.findall(r"\\[([\\w,]+)\\]", " ".join(sys.argv[2:])):
    assert set(extra.split(",")) <= set(setup["options.extras_require"]), extra
"""
_MAKE = """#!/bin/sh
exec {make} --no-print-directory -n -C {root} "$@" > /dev/null
"""


class Block(NamedTuple):
    """A fenced block of a page: its language (bash, python or text) and its content."""

    language: str
    content: str


def read_blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    return [Block(*match.groups()) for match in FENCED.finditer(page)]


def run_page(page: str, folder: Path, *, distill_options: str = "") -> str:
    """Run the bash and Python blocks of a page one after the other, and return all that they printed.

    A text block is output: each of its lines must be in the output of the block before it, scores aside. A line that
    ends with ... is the beginning of one.
    """
    environment = _environment(folder, distill_options)
    printed, output = "", ""
    for block in read_blocks(page):
        if block.language == "text":
            _require_output(block.content, output)
            continue
        command = ["bash", "-euo", "pipefail", "-c", block.content]
        if block.language == "python":
            command = [sys.executable, "-c", block.content]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block.content}\n{done.stdout}\n{done.stderr}"
        output = done.stdout
        printed += output
    return printed


def _require_output(shown: str, output: str) -> None:
    lines = [SCORE.sub("SCORE", line).rstrip() for line in output.splitlines()]
    for line in filter(None, SCORE.sub("SCORE", shown).splitlines()):
        begins = line.removesuffix("...") if line.endswith("...") else None
        found = line in lines if begins is None else any(other.startswith(begins) for other in lines)
        assert found, f"the page shows {line!r}, the command printed:\n{output}"


def _environment(folder: Path, distill_options: str) -> dict[str, str]:
    scripts = folder / "scripts"
    scripts.mkdir()
    values = {"python": sys.executable, "root": ROOT, "make": shutil.which("make")}
    for name, content in (("hpdsearch", _HPDSEARCH), ("python", _PYTHON), ("pip", _PIP), ("make", _MAKE)):
        (scripts / name).write_text(content.format(**values))
        (scripts / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HPDSEARCH_BACKEND": "onnx",
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "DISTILL_OPTIONS": distill_options,
        "COLUMNS": "80",
    }


def named_options(page: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the words after `hpdsearch` of each command in a page's code, and each of its options.

    Code is fenced, indented or inline. A line that ends with a backslash goes on.
    """
    fenced = re.findall(r"^```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = [*fenced, *re.findall(r"^ {4,}(.+)$", page, re.MULTILINE), *re.findall(r"`([^`\n]+)`", page)]
    for text in code:
        for command in re.findall(r"^(?:.*[|(] *)?hpdsearch ([a-z][^)\n]*)", text.replace("\\\n", " "), re.MULTILINE):
            words = re.sub(r"\s#.*", "", command).split()
            yield tuple(words[:2]), ""
            yield from ((tuple(words[:2]), word.split("=")[0]) for word in words if word.startswith("--"))
