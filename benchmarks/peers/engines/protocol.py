"""Run the tasks of every program: index a corpus, run one query, serve many queries. Standard library only.

    python ENGINE.py index FOLDER --corpus corpus.jsonl --model MODEL
    python ENGINE.py query FOLDER --model MODEL --text "a query"
    python ENGINE.py serve FOLDER --model MODEL

`index` reads a document per line, {"id": ..., "text": ...}, and prints {"seconds": ...} without start and imports.
`query` prints the doc_ids as JSON. `serve` reads lines {"queries": [...]} and answers each with a line {"ids": ...,
"seconds": ..., "encode_seconds": ..., "resident_bytes": ...}: the first three are lists with an item per query;
encode_seconds is null if the program does not report it, and resident_bytes includes child processes.
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
Answer = tuple[list[str], float | None]  # doc_ids, best first; seconds of encoding or None
Search = Callable[[str], Answer]


def main(build: Callable[[list[Document], Path, str], None], open_index: Callable[[Path, str], Search]) -> None:
    """Read the options and run the command.

    Args:
        build: (documents, empty folder, model); writes an index into the folder.
        open_index: (folder, model) -> a function that returns the K best documents of a query.
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
        print_answer(json.dumps({"seconds": time.perf_counter() - start}))
        return
    search = open_index(options.folder, options.model)
    if options.command == "query":
        print_answer(json.dumps(search(options.text)[0]))
        return
    print_answer("ready")
    for line in sys.stdin:
        print_answer(json.dumps(answer_queries(search, json.loads(line)["queries"])))


def read_corpus(path: Path) -> Iterator[Document]:
    """Yield the documents of a file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            yield record["id"], record["text"]


def answer_queries(search: Search, queries: list[str]) -> dict[str, Any]:
    """Run the queries one after the other; return ids, times and memory."""
    ids, seconds, encode = [], [], []
    for query in queries:
        start = time.perf_counter()
        found, spent = search(query)
        seconds.append(time.perf_counter() - start)
        ids.append(found)
        encode.append(spent)
    encode_seconds = None if None in encode else encode
    return {"ids": ids, "seconds": seconds, "encode_seconds": encode_seconds, "resident_bytes": resident_bytes()}


def resident_bytes() -> int | None:
    """Return the resident memory of this process and its child processes; None without /proc.

    Of child processes only private pages count, so that shared libraries are not counted twice.
    """
    try:
        own = _kilobytes(Path("/proc/self/status"), "VmRSS")
    except OSError:
        return None
    others = 0
    for folder in _child_processes():
        with suppress(OSError):  # the process has ended
            others += _kilobytes(folder / "smaps_rollup", "Private_(?:Clean|Dirty)")
    return 1024 * (own + others)


def _kilobytes(path: Path, key: str) -> int:
    """Return the sum of the lines of a key."""
    return sum(map(int, re.findall(rf"^{key}:\s*(\d+) kB$", path.read_text(), re.MULTILINE)))


def _child_processes() -> list[Path]:
    """Return the /proc folders of all direct and indirect child processes."""
    found = [Path("/proc/self")]
    for folder in found:
        for children in folder.glob("task/*/children"):
            with suppress(OSError):  # the thread has ended
                found += [Path("/proc") / child for child in children.read_text().split()]
    return found[1:]


def print_answer(line: str) -> None:
    """Print an answer with a prefix, because libraries print to the same stream."""
    print(f"ANSWER {line}", flush=True)
