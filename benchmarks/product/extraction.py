"""Compare the extraction of documents with other programs: time, memory, weight, and the words that are found.

Each program extracts all files of a format in a process of its own. Nobody knows the true text of the files, so each
program is compared with the others: a word counts as often as the median of the other programs finds it. Recall is the
share of these words that the program finds, precision the share of its words that they are.

    python -m benchmarks.product.extraction --files FOLDER...
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

from benchmarks.common.environments import PEERS, baseline_python
from benchmarks.common.harness import CACHE, Command, module_environment
from benchmarks.common.results import RESULTS, Result, measurement, result, write_result

OWN = "hpdsearch"
READS = {  # the formats that a program reads
    OWN: {"pdf", "docx", "pptx", "xlsx", "odt", "epub", "ipynb", "eml"},
    "kreuzberg": {"pdf", "docx", "pptx", "xlsx", "odt", "epub", "ipynb", "eml"},
    "markitdown": {"pdf", "docx", "pptx", "xlsx", "epub", "ipynb"},
    "pypdf": {"pdf"},
    "pdfplumber": {"pdf"},
}
WORD = re.compile(r"\w+")
SEED = 0
Answers = list[dict[str, Any]]


def main() -> None:
    """Read the options, extract, compare, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, nargs="+", required=True, help="folders of files")
    parser.add_argument("--n", type=int, default=60, help="files of each format, drawn by a seed")
    parser.add_argument("--max-bytes", type=int, default=2 << 20, help="size of a file")
    parser.add_argument("--python", type=Path, help="interpreter of the other programs; default: one is installed")
    parser.add_argument("--output", type=Path, default=RESULTS / "extraction.json", help="result file")
    options = parser.parse_args()
    python = options.python or baseline_python(CACHE / "extraction", PEERS / "extraction.txt", constraints=None)
    files = draw_files(options.files, options.n, options.max_bytes)
    print({ending: len(paths) for ending, paths in files.items()}, file=sys.stderr)
    worker = PEERS / "extract_worker.py"
    commands: dict[str, Command] = {name: [python, worker, name] for name in READS}
    commands[OWN] = [sys.executable, worker, OWN]
    measurements: list[Result] = []
    about: dict[str, dict[str, Any]] = {}
    for ending, paths in files.items():
        found: dict[str, Answers] = {}
        for name, formats in READS.items():
            if ending in formats:
                print(f"{ending}: {name}", file=sys.stderr)
                *found[name], facts = extract(commands[name], paths)
                about[name] = facts
                measurements.append(measurement(f"{name}, {ending}: peak memory", "bytes", [facts["peak_bytes"]]))
        measurements += compare(ending, found)
    settings = {
        "n_files": {ending: len(paths) for ending, paths in files.items()},
        "max_bytes": options.max_bytes,
        "seed": SEED,
        "programs": {name: {k: v for k, v in facts.items() if k != "peak_bytes"} for name, facts in about.items()},
    }
    versions = {package: version for facts in about.values() for package, version in facts["versions"].items()}
    write_result(result("extraction", settings, measurements, [], versions=versions), options.output)


def draw_files(folders: Sequence[Path], n: int, max_bytes: int) -> dict[str, list[Path]]:
    """Return at most n files of each format, without empty and large ones."""
    by_ending: dict[str, list[Path]] = {ending: [] for ending in sorted(READS[OWN])}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            ending = path.suffix.lower().removeprefix(".")
            if ending in by_ending and path.is_file() and 0 < path.stat().st_size <= max_bytes:
                by_ending[ending].append(path)
    random.Random(SEED).shuffle(by_ending["pdf"])
    return {ending: sorted(paths[:n]) for ending, paths in by_ending.items() if paths}


def extract(command: Command, paths: Sequence[Path]) -> Answers:
    """Return the answers of a program for each file, and what it says of itself."""
    ended = subprocess.run(
        list(map(str, command)),
        input="".join(f"{path}\n" for path in paths),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **module_environment()},
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"')]
    if len(answers) != len(paths) + 1:
        raise SystemExit(f"{' '.join(map(str, command))}: expected {len(paths) + 1} answers, got {len(answers)}")
    return answers


def compare(ending: str, found: Mapping[str, Answers]) -> list[Result]:
    """Return the figures of the programs for a format; files at which one of them fails are left out of the words."""
    rows: list[Result] = []
    read_by_all = [all("text" in answer for answer in answers) for answers in zip(*found.values(), strict=True)]
    words = {
        name: [count_words(each["text"]) for each, is_read in zip(answers, read_by_all, strict=True) if is_read]
        for name, answers in found.items()
    }
    for name, answers in found.items():
        n_failed = sum("error" in answer for answer in answers)
        rows.append(measurement(f"{name}, {ending}: files not read", "files", [n_failed]))
        rows.append(measurement(f"{name}, {ending}: time of a file", "s", [answer["seconds"] for answer in answers]))
        rows.append(measurement(f"{name}, {ending}: time of all files", "s", [sum(a["seconds"] for a in answers)]))
        others = [each for other, each in words.items() if other != name]
        if not others:
            continue
        expected = [agree(references) for references in zip(*others, strict=True)]
        n_common = sum((own & each).total() for own, each in zip(words[name], expected, strict=True))
        n_expected = sum(each.total() for each in expected)
        n_found = sum(each.total() for each in words[name])
        rows.append(measurement(f"{name}, {ending}: recall of words", "%", [100 * n_common / max(n_expected, 1)]))
        rows.append(measurement(f"{name}, {ending}: precision of words", "%", [100 * n_common / max(n_found, 1)]))
    return rows


def count_words(text: str) -> Counter[str]:
    """Return the words of a text, in lower case, with their numbers."""
    return Counter(WORD.findall(text.casefold()))


def agree(counts: Sequence[Counter[str]]) -> Counter[str]:
    """Return each word as often as the median of several counts, the lower one of two."""
    words = set().union(*counts)
    agreed = {word: median_low([count[word] for count in counts]) for word in words}
    return Counter({word: n for word, n in agreed.items() if n})


if __name__ == "__main__":
    main()
