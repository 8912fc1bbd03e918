"""Compare the time of one query from a shell with a script on sentence-transformers.

Every run is a new process, and files are in the page cache after the warm-up. Both programs answer the same query over
the same documents in the same round. The environment and the embeddings of the baseline are made once, under
~/.cache/hpdsearch-bench.

    hpdsearch index examples/wordnet.jsonl.gz -o indexes/wordnet
    python -m benchmarks.product.startup --index indexes/wordnet
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common.environments import OFFLINE, PEERS, baseline_python, baseline_versions
from benchmarks.common.harness import (
    CACHE,
    HPDSEARCH,
    MODELS,
    QUERIES,
    SAMPLE,
    Command,
    argument_parser,
    file_identity,
    first_documents,
    read_queries,
    run,
    run_interleaved,
    run_json,
)
from benchmarks.common.results import Result, measurement, ratios, result, target, write_result
from hpdsearch.common.files import atomic_write, file_sha256
from hpdsearch.common.vectors import unit_rows

PEER_SCRIPT = PEERS / "sentence_transformers_query.py"
PEER_DIM = 384
PYTHON, HELP, QUERY, PEER = "python -c pass", "hpdsearch --help", "hpdsearch query", "sentence-transformers script"


def main() -> None:
    """Read the options, prepare the baseline, measure, write the result."""
    parser = argument_parser(__doc__, "startup", repeats=11)
    parser.add_argument("--index", type=Path, required=True, help="index folder of the corpus")
    parser.add_argument("--corpus", type=Path, default=SAMPLE, help="corpus file of the index, for the baseline")
    parser.add_argument("--model", type=Path, default=MODELS / "all-MiniLM-L6-v2", help="model folder of the baseline")
    parser.add_argument(
        "--peer-embeddings",
        choices=["encoded", "random"],
        default="encoded",
        help="encoded: the baseline encodes the corpus once, which takes minutes; random: vectors of the same shape, "
        "with the same cost of loading and searching",
    )
    options = parser.parse_args()
    python = baseline_python(CACHE / "st")
    documents, embeddings = baseline_files(options.corpus, options.peer_embeddings, python, options.model)
    n_documents = require_same_count(options.index, documents)
    queries = read_queries()
    tail = [documents, embeddings, "--model", options.model]
    peer: Command = [python, PEER_SCRIPT, "query"]
    seconds = measure({**own_commands(options.index), PEER: [*peer, "{query}", *tail]}, queries, options.repeats)
    measurements, targets = figures(seconds)
    settings = {
        "repeats": options.repeats,
        "corpus": file_identity(options.corpus),
        "n_documents": n_documents,
        "queries": QUERIES.name,
        "peer_model": options.model.name,
        "peer_embeddings": options.peer_embeddings,
        "process": "new process, files in the page cache",
    }
    versions = {f"peer {name}": version for name, version in baseline_versions(python).items()}
    write_result(result("startup", settings, measurements, targets, versions=versions), options.output)


def own_commands(index: Path) -> dict[str, Command]:
    """Return the measured commands of hpdsearch, and the start of Python as their lower bound."""
    return {
        PYTHON: [sys.executable, "-c", "pass"],
        HELP: [HPDSEARCH, "--help"],
        QUERY: [HPDSEARCH, "query", "{query}", "-i", index],
    }


def measure(commands: Mapping[str, Command], queries: Sequence[str], repeats: int) -> dict[str, list[float]]:
    """Return the wall times of processes in seconds, by command; "{query}" is replaced by the query of the round.

    Raises:
        SystemExit: a command failed, or a query had no hits.
    """

    def time_command(command: Command, number: int) -> float:
        query = queries[number % len(queries)]
        arguments: Command = [query if part == "{query}" else part for part in command]
        finished = run(arguments, env=OFFLINE)
        if "{query}" in command and not finished.stdout.strip():
            raise SystemExit(f"{arguments}: expected hits, got no output")
        return finished.seconds

    return run_interleaved({name: partial(time_command, command) for name, command in commands.items()}, repeats)


def figures(seconds: Mapping[str, Sequence[float]]) -> tuple[list[Result], list[Result]]:
    """Return measurements and targets."""
    times = {name: measurement(name, "s", values) for name, values in seconds.items()}
    ratio = ratios(f"{PEER} / {QUERY}", seconds[PEER], seconds[QUERY])
    targets = [target(times[HELP], at_most=0.25), target(times[QUERY], at_most=0.8), target(ratio, at_least=8)]
    return [*times.values(), ratio], targets


def baseline_files(corpus: Path, kind: str, python: Path, model: Path) -> tuple[Path, Path]:
    """Return the paths of the baseline's documents and embeddings of a corpus; the first call writes both."""
    folder = CACHE / "st-data" / file_sha256(corpus)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    documents = folder / "documents.json"
    embeddings = folder / f"{kind}-{model.name}.npy"
    unfinished = folder / "unfinished.npy"
    if not documents.exists():
        records = [{"id": d.doc_id, "title": d.title, "text": d.text} for d in first_documents(corpus)]
        with atomic_write(documents) as file:
            file.write(json.dumps(records, ensure_ascii=False).encode())
    if not embeddings.exists() and kind == "random":
        np.save(unfinished, random_embeddings(len(json.loads(documents.read_bytes()))))
        unfinished.replace(embeddings)
    elif not embeddings.exists():
        print(f"{folder}: the baseline encodes the corpus; this takes minutes", file=sys.stderr)
        prepare: Command = [python, PEER_SCRIPT, "prepare", documents, unfinished, "--model", model]
        subprocess.run(prepare, check=True)
        unfinished.replace(embeddings)
    return documents, embeddings


def random_embeddings(n: int) -> np.ndarray:
    """Return seeded random unit vectors, float32 (n, PEER_DIM)."""
    vectors = np.random.default_rng(0).normal(size=(n, PEER_DIM)).astype(np.float32)
    return unit_rows(vectors)


def require_same_count(index: Path, documents: Path) -> int:
    """Return the number of documents of the index.

    Raises:
        SystemExit: the baseline has another number of documents.
    """
    n_index = int(run_json([HPDSEARCH, "info", index, "--json"])["n_documents"])
    n_peer = len(json.loads(documents.read_bytes()))
    if n_index != n_peer:
        raise SystemExit(f"{index}: expected the {n_peer:,} documents of --corpus, got {n_index:,}; index that corpus")
    return n_index


if __name__ == "__main__":
    main()
