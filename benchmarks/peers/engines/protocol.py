"""The tasks of every program in engines.py: index a corpus, answer one question, answer many. Standard library only.

    python ENGINE.py index FOLDER --corpus corpus.jsonl --model MODEL      # a line: {"id": ..., "text": ...}; prints
                                                                           # {"seconds": without starting and imports}
    python ENGINE.py query FOLDER --model MODEL --text "a question"        # prints the doc_ids as JSON
    python ENGINE.py serve FOLDER --model MODEL                            # a line in: {"queries": [...]}; a line out

A served line is {"ids": doc_ids of each query, "seconds": of each, "encode_seconds": of each or null,
"resident_bytes": of this process and those that it started, if the system tells}.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

K = 10

Document = tuple[str, str]  # doc_id, text
Answer = tuple[list[str], float | None]  # doc_ids, best first; seconds of encoding, if it can be told apart
Ask = Callable[[str], Answer]


def main(build: Callable[[list[Document], Path, str], None], opened: Callable[[Path, str], Ask]) -> None:
    """Do what the command line asks.

    Args:
        build: documents, an empty folder, the model -> an index in the folder.
        opened: the folder, the model -> a function that answers a question with the K nearest.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["index", "query", "serve"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--model", default="")
    parser.add_argument("--text")
    options = parser.parse_args()
    if options.command == "index":
        options.folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        build(list(read_corpus(options.corpus)), options.folder, options.model)
        answer(json.dumps({"seconds": time.perf_counter() - start}))
        return
    ask = opened(options.folder, options.model)
    if options.command == "query":
        answer(json.dumps(ask(options.text)[0]))
        return
    answer("ready")
    for line in sys.stdin:
        answer(json.dumps(served(ask, json.loads(line)["queries"])))


def read_corpus(path: Path) -> Iterator[Document]:
    """Yield the documents of a file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            yield record["id"], record["text"]


def served(ask: Ask, queries: list[str]) -> dict[str, Any]:
    """Answer one question after the other."""
    ids, seconds, encode = [], [], []
    for query in queries:
        start = time.perf_counter()
        found, spent = ask(query)
        seconds.append(time.perf_counter() - start)
        ids.append(found)
        encode.append(spent)
    apart = None if None in encode else encode
    return {"ids": ids, "seconds": seconds, "encode_seconds": apart, "resident_bytes": resident_bytes()}


def resident_bytes() -> int | None:
    """Return the resident memory of this process and what others that it started hold besides; None if nobody tells.

    Of those others only pages that nobody shares count, so that a library both have loaded is not counted twice.
    """
    try:
        own = _kilobytes(Path("/proc/self/status"), "VmRSS")
    except OSError:
        return None
    others = 0
    for folder in _started_by_this():
        with suppress(OSError):  # it has ended
            others += _kilobytes(folder / "smaps_rollup", "Private_(?:Clean|Dirty)")
    return 1024 * (own + others)


def _kilobytes(path: Path, key: str) -> int:
    """Return the sum of the lines of a key."""
    return sum(map(int, re.findall(rf"^{key}:\s*(\d+) kB$", path.read_text(), re.MULTILINE)))


def _started_by_this() -> list[Path]:
    """Return the /proc folders of the processes that this one started, and of theirs."""
    found = [Path("/proc/self")]
    for folder in found:
        for children in folder.glob("task/*/children"):
            with suppress(OSError):  # the thread has ended
                found += [Path("/proc") / child for child in children.read_text().split()]
    return found[1:]


def answer(line: str) -> None:
    """Print a line for whoever asked; what libraries print goes there too, so ours is marked."""
    print(f"ANSWER {line}", flush=True)
