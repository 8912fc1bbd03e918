"""How do whole programs compare, from a file of texts to the hits? hpdsearch beside what people use instead.

    python -m benchmarks.engines.run --data data/ --fill texts/*.txt.gz
    python -m benchmarks.engines.run --data data/ --fill texts/*.txt.gz --engines hpdsearch    # no other program

The documents of judged collections stand among many short texts. Each program has an adapter in peers/engines/, an
environment of its own and its documented defaults; one that fails is a row that says how. Ids are judged here.
The result is written after every stage; indexes are kept, so that a stopped run goes on.
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
from benchmarks.engines.indexing import index_rows, prepare_indexes
from benchmarks.engines.processes import Engine
from benchmarks.engines.queries import cold_queries, interleave_queries

WORK = CACHE / "engines-work"
K = 10
SHOWN = ("repeats", "index_repeats", "n", "threads", "asked", "k", "seconds", "judge_seconds")
NOTES = {
    "LEANN": "its default model all-MiniLM-L6-v2, from a folder; its server of embeddings ends with the program",
    "model2vec + vicinity": "its vectors are float16 by default, which numpy multiplies slowly: float32 is faster",
    "Chroma": "all-MiniLM-L6-v2 by sentence-transformers, for its own function fetches an ONNX export from a server",
}


def all_engines(options: argparse.Namespace) -> list[Engine]:
    """Return the programs, hpdsearch's default first."""
    own = [
        Engine(f"hpdsearch, {name}", "hpdsearch_engine", f"{place}") for name, place in _name_encoders(options.encoders)
    ]
    first = options.encoders[0]
    dense = Engine(
        f"hpdsearch, {_name_encoders([first])[0][0]}, dense alone", "hpdsearch_engine", f"{first}:dense", own[0].name
    )
    minilm, table = str(options.student), str(options.model2vec)
    others = {
        "sentence-transformers + faiss": ("st_faiss", minilm),
        "txtai": ("txtai_engine", minilm),
        "LEANN": ("leann_engine", minilm),
        "Chroma": ("chroma_engine", minilm),
        "model2vec + vicinity": ("model2vec_vicinity", table),
        "bm25s": ("bm25s_engine", ""),
    }
    found = [own[0], dense, *own[1:], *(Engine(name, *of) for name, of in others.items())]
    return [one for one in found if any(one.name.startswith(asked) for asked in options.engines or [""])]


def _name_encoders(encoders: Sequence[str]) -> list[tuple[str, str]]:
    return [(Path(place).name, place) for place in encoders]


def main() -> None:
    """Read the options, index with every program, ask them in turns, write the result."""
    options = read_options()
    engines = all_engines(options)
    if not engines:
        raise SystemExit(f"--engines: expected beginnings of the programs' names, got {', '.join(options.engines)}")
    about = write_data(options)
    asked = json.loads((options.work / "asked.json").read_bytes())
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    made: list[Result] = []
    settings = {name: getattr(options, name) for name in SHOWN} | about
    settings |= {"engines": [one.name for one in engines], "indexing": "a whole process, one program after the other"}

    def save() -> None:
        notes = {one.name: NOTES[one.name] for one in engines if one.name in NOTES}
        finished = result("engines", settings, made, [], versions=versions)
        write_result(finished | {"failed": failed, "notes": notes}, options.output)

    ready = prepare_indexes(engines, options, failed, versions)
    made += index_rows(ready)
    save()
    for stage in (interleave_queries, cold_queries):
        made += stage(ready, options, asked, failed)
        save()


def write_data(options: argparse.Namespace) -> dict[str, object]:
    """Write corpus, queries and judgments into the work folder; return what a result says of them."""
    folders: Command = [options.work, "--retrieval", options.data / "retrieval"]
    what: Command = ["--mix", *options.mix, "--fill", *options.fill, "--n", str(options.n)]
    about: dict[str, object] = run_json(module_command("engines.data", *folders, *what), env=module_environment())
    return about


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argument_parser(__doc__, "engines")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder that holds retrieval/ (BEIR folders)")
    parser.add_argument("--mix", nargs="+", default=["trecqa", "covid-faq"], help="its collections to mix in")
    parser.add_argument("--fill", type=Path, nargs="+", required=True, help="files of texts, one a line, also .gz")
    parser.add_argument("--n", type=positive, default=100_000, help="documents")
    parser.add_argument("--engines", nargs="+", help="beginnings of their names; all without")
    parser.add_argument("--encoders", nargs="+", default=["base", "small", "static"], help="of hpdsearch")
    parser.add_argument("--student", type=Path, default=MODELS / "all-MiniLM-L6-v2", help="the model of most programs")
    parser.add_argument(
        "--model2vec", type=Path, default=CACHE / "model2vec" / "all-mpnet-base-v2-256", help="its table"
    )
    parser.add_argument("--threads", type=positive, default=2, help="of every program")
    parser.add_argument("--asked", type=positive, default=50, help="questions to each program in a round")
    parser.add_argument("--seconds", type=float, default=10, help="a slow program is asked fewer in a round beyond")
    parser.add_argument("--judge-seconds", type=float, default=120, help="a program that takes longer is not judged")
    parser.add_argument("--index-repeats", type=positive, default=1, help="times that each program indexes")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the indexes, which are kept")
    parser.add_argument("--rebuild", action="store_true", help="build existing indexes again")
    parser.add_argument(
        "--quick", action="store_true", help="5,000 documents, few questions, hpdsearch alone, built again"
    )
    options = parser.parse_args()
    options.k = K
    if options.quick:
        options.n, options.asked, options.rebuild = min(options.n, 5000), min(options.asked, 10), True
        options.engines, options.encoders = ["hpdsearch"], options.encoders[-2:]
    return options


if __name__ == "__main__":
    main()
