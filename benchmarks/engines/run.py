"""Compare hpdsearch with other complete search programs, from a file of texts to the hits.

    python -m benchmarks.engines.run --data data/ --fill texts/*.txt.gz
    python -m benchmarks.engines.run --data data/ --fill texts/*.txt.gz --engines hpdsearch    # without the baselines

The corpus is a haystack of short texts with the documents of judged collections in it. Each program has an adapter in
peers/engines/, a virtual environment of its own and its documented defaults. The result lists the error of a program
that fails. This process computes the metrics from the returned ids. The result is written after every stage, and
indexes are kept, so that a stopped run can continue.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.harness import (
    CACHE,
    MODELS,
    Command,
    argument_parser,
    module_command,
    module_environment,
    positive,
    run_json,
)
from benchmarks.common.results import Result, result, write_result
from benchmarks.engines.data import QUERIES_FILE
from benchmarks.engines.indexing import index_rows, prepare_indexes
from benchmarks.engines.processes import Engine
from benchmarks.engines.queries import cold_queries, interleave_queries

WORK = CACHE / "engines-work"
K = 10
SETTINGS = ("repeats", "index_repeats", "n", "threads", "k", "seconds", "judge_seconds")
NOTES = {
    "LEANN": "all-MiniLM-L6-v2 from a folder; its embedding server ends with the program",
    "LEANN, embeddings stored": "its documented setting for a machine without a GPU (--no-recompute)",
    "model2vec + vicinity": "float16 vectors by default, which numpy multiplies slowly; float32 is faster",
    "Chroma": "all-MiniLM-L6-v2 by sentence-transformers, because its own embedding function downloads an ONNX export",
}


def all_engines(options: argparse.Namespace) -> list[Engine]:
    """Return the programs, hpdsearch's default first."""
    own = [
        Engine(f"hpdsearch, {name}", "hpdsearch_engine", location)
        for name, location in _name_encoders(options.encoders)
    ]
    first = options.encoders[0]
    dense = Engine(
        f"hpdsearch, {_name_encoders([first])[0][0]}, dense alone", "hpdsearch_engine", f"{first}:dense", own[0].name
    )
    minilm = str(options.student)
    table = str(options.model2vec)
    others = {
        "sentence-transformers + faiss": ("st_faiss", minilm),
        "txtai": ("txtai_engine", minilm),
        "LEANN": ("leann_engine", minilm),
        "LEANN, embeddings stored": ("leann_engine", f"{minilm}:stored"),
        "Chroma": ("chroma_engine", minilm),
        "model2vec + vicinity": ("model2vec_vicinity", table),
        "bm25s": ("bm25s_engine", ""),
    }
    found = [own[0], dense, *own[1:], *(Engine(name, *of) for name, of in others.items())]
    return [one for one in found if any(one.name.startswith(prefix) for prefix in options.engines or [""])]


def _name_encoders(encoders: Sequence[str]) -> list[tuple[str, str]]:
    return [(Path(location).name, location) for location in encoders]


def main() -> None:
    """Read the options, index with every program, time interleaved queries, write the result."""
    options = read_options()
    engines = all_engines(options)
    if not engines:
        raise SystemExit(f"--engines: expected prefixes of the programs' names, got {', '.join(options.engines)}")
    about = write_data(options)
    data = json.loads((options.work / QUERIES_FILE).read_bytes())
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    made: list[Result] = []
    settings = {name: getattr(options, name) for name in SETTINGS} | {"asked": options.n_queries} | about  # stored key
    settings |= {
        "engines": [one.name for one in engines],
        "indexing": "one new process per program, one program after the other",
    }

    def save() -> None:
        notes = {one.name: NOTES[one.name] for one in engines if one.name in NOTES}
        finished = result("engines", settings, made, [], versions=versions)
        write_result(finished | {"failed": failed, "notes": notes}, options.output)

    ready = prepare_indexes(engines, options, failed, versions)
    made += index_rows(ready)
    save()
    for stage in (interleave_queries, cold_queries):
        made += stage(ready, options, data, failed)
        save()


def write_data(options: argparse.Namespace) -> dict[str, object]:
    """Write corpus, queries and judgments into the work folder, and return their description for the result."""
    folders: Command = [options.work, "--retrieval", options.data / "retrieval"]
    contents: Command = ["--mix", *options.mix, "--fill", *options.fill, "--n", str(options.n)]
    about: dict[str, object] = run_json(module_command("engines.data", *folders, *contents), env=module_environment())
    return about


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argument_parser(__doc__, "engines")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder that holds retrieval/ (BEIR folders)")
    parser.add_argument(
        "--mix", nargs="+", default=["trecqa", "covid-faq"], help="judged collections to hide in the haystack"
    )
    parser.add_argument(
        "--fill", type=Path, nargs="+", required=True, help="files of haystack texts, one per line, also .gz"
    )
    parser.add_argument("--n", type=positive, default=100_000, help="number of documents")
    parser.add_argument("--engines", nargs="+", help="prefixes of program names; default: all programs")
    parser.add_argument("--encoders", nargs="+", default=["base", "small", "static"], help="encoders of hpdsearch")
    parser.add_argument(
        "--student", type=Path, default=MODELS / "all-MiniLM-L6-v2", help="model folder for most baselines"
    )
    parser.add_argument(
        "--model2vec",
        type=Path,
        default=CACHE / "model2vec" / "all-mpnet-base-v2-256",
        help="folder of the model2vec token table",
    )
    parser.add_argument("--threads", type=positive, default=2, help="threads of every program")
    parser.add_argument("--n-queries", type=positive, default=50, help="queries per program and round")
    parser.add_argument("--seconds", type=float, default=10, help="time limit of a round for a slow program")
    parser.add_argument(
        "--judge-seconds", type=float, default=120, help="time limit for all queries; a slower program gets no nDCG@10"
    )
    parser.add_argument("--index-repeats", type=positive, default=1, help="indexing runs per program")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the indexes; they are kept")
    parser.add_argument("--rebuild", action="store_true", help="build existing indexes again")
    parser.add_argument(
        "--quick", action="store_true", help="5,000 documents, few queries, hpdsearch only, new indexes"
    )
    options = parser.parse_args()
    options.k = K
    if options.quick:
        options.n = min(options.n, 5000)
        options.n_queries = min(options.n_queries, 10)
        options.rebuild = True
        options.engines = ["hpdsearch"]
        options.encoders = options.encoders[-2:]
    return options


if __name__ == "__main__":
    main()
