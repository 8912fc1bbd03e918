"""How do whole programs compare, from a file of texts to the hits? hpdsearch beside what people use instead.

    python benchmarks/engines.py --data data/ --fill texts/*.txt.gz
    python benchmarks/engines.py --data data/ --fill texts/*.txt.gz --engines hpdsearch    # no other program

The documents of judged collections stand among many short texts. Each program has an adapter in peers/engines/, an
environment of its own and its documented defaults; one that fails is a row that says how. Ids are judged here.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import BENCHMARKS, CACHE, MODELS, Words, arguments, interleaved, positive, run, run_json
from engines_running import Engine, EngineError, Server, folder_bytes, in_words
from judging import NDCG, judged
from report import Result, measurement, result, write_result
from startup import peer_python, peer_versions

ADAPTERS = BENCHMARKS / "peers" / "engines"
WORK = CACHE / "engines-work"
COLD = "what is the incubation period"
PACKAGES = {
    "st_faiss": ("sentence-transformers", "faiss-cpu", "torch"),
    "txtai_engine": ("txtai", "torch", "transformers"),
    "leann_engine": ("leann", "leann-core", "torch"),
    "chroma_engine": ("chromadb", "sentence-transformers", "torch"),
    "model2vec_vicinity": ("model2vec", "vicinity"),
    "bm25s_engine": ("bm25s", "PyStemmer"),
}


def all_engines(options: argparse.Namespace) -> list[Engine]:
    """Return the programs, hpdsearch's default first."""
    own = [Engine(f"hpdsearch, {name}", "hpdsearch_engine", f"{place}") for name, place in _named(options.encoders)]
    first = options.encoders[0]
    dense = Engine(
        f"hpdsearch, {_named([first])[0][0]}, dense alone", "hpdsearch_engine", f"{first}:dense", own[0].name
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


def _named(encoders: Sequence[str]) -> list[tuple[str, str]]:
    return [(Path(place).name, place) for place in encoders]


def main() -> None:
    """Read the options, index with every program, ask them in turns, write the result."""
    options = read_options()
    engines = all_engines(options)
    if not engines:
        raise SystemExit(f"--engines: expected beginnings of the programs' names, got {', '.join(options.engines)}")
    data: Words = [
        sys.executable,
        BENCHMARKS / "engines_data.py",
        options.work,
        "--retrieval",
        options.data / "retrieval",
    ]
    about = run_json([*data, "--mix", *options.mix, "--fill", *options.fill, "--n", str(options.n)])
    asked = json.loads((options.work / "asked.json").read_bytes())
    failed: dict[str, str] = {}
    versions: dict[str, str] = {}
    ready = prepared(engines, options, failed, versions)
    made = measured(ready, options, asked, failed)
    settings = {
        name: getattr(options, name) for name in ("repeats", "n", "threads", "asked", "k", "seconds", "judge_seconds")
    } | about
    settings |= {"engines": [one.name for one in engines], "indexing": "one run each, a whole process"}
    finished = result("engines", settings, made, [], versions=versions)
    write_result(finished | {"failed": failed}, options.output)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = arguments(__doc__, "engines")
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
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the indexes, which are kept")
    parser.add_argument("--rebuild", action="store_true", help="index anew what is there")
    parser.add_argument("--quick", action="store_true", help="5,000 documents, few questions, hpdsearch alone, anew")
    options = parser.parse_args()
    options.k = 10
    if options.quick:
        options.n, options.asked, options.rebuild = min(options.n, 5000), min(options.asked, 10), True
        options.engines, options.encoders = ["hpdsearch"], options.encoders[-2:]
    return options


def prepared(
    engines: Sequence[Engine], options: argparse.Namespace, failed: dict[str, str], versions: dict[str, str]
) -> dict[str, tuple[Words, dict[str, Any]]]:
    """Make each program's environment and index; return its command and what indexing took, by name.

    Args:
        engines: in order; one that shares another's index comes after it.
        options: of this run.
        failed: gets how a program failed, by name.
        versions: gets the packages of each environment.
    """
    ready: dict[str, tuple[Words, dict[str, Any]]] = {}
    for engine in engines:
        print(f"{engine.name}: indexing", file=sys.stderr)
        try:
            command = _command(engine, versions)
            ready[engine.name] = command, indexed(engine, command, options)
        except EngineError as error:
            failed[engine.name] = str(error)
            print(f"{engine.name}: {error}", file=sys.stderr)
    return ready


def _command(engine: Engine, versions: dict[str, str]) -> Words:
    """Return the interpreter and adapter of a program, installed if it was not.

    Raises:
        EngineError: it cannot be installed.
    """
    script = ADAPTERS / f"{engine.adapter}.py"
    if not (packages := PACKAGES.get(engine.adapter)):
        return [sys.executable, script]
    try:
        python = peer_python(CACHE / "engines" / engine.adapter, script.with_suffix(".txt"), constraints=None)
        versions.update({f"{engine.name}: {name}": of for name, of in peer_versions(python, packages).items()})
    except (Exception, SystemExit) as error:
        raise EngineError(f"cannot be installed: {in_words(error)}") from error
    return [python, script]


def indexed(engine: Engine, command: Words, options: argparse.Namespace) -> dict[str, Any]:
    """Index the corpus in a whole process and return what it took; what an earlier run kept is not done again.

    Raises:
        EngineError: the program does.
    """
    folder = options.work / f"{options.n}-{(engine.shares or engine.name).replace(' ', '-')}"
    record = folder.with_name(f"{folder.name}.json")
    if engine.shares is None and (options.rebuild or not record.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        words = [*command, "index", folder, "--corpus", options.work / "corpus.jsonl", "--model", engine.model]
        try:
            done = run(words, env=environment(options.threads))
        except SystemExit as error:
            raise EngineError(f"indexing: {in_words(error)}") from error
        took = {"seconds": done.seconds, "peak_bytes": done.peak_bytes, "size_bytes": folder_bytes(folder)}
        record.write_text(json.dumps({**took, "folder": str(folder)}))
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def environment(threads: int) -> dict[str, str]:
    """Return what every program gets: its threads, and no network."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "TOKENIZERS_PARALLELISM": "true",
        "PATH": os.environ["PATH"],
    }


def measured(
    ready: Mapping[str, tuple[Words, dict[str, Any]]],
    options: argparse.Namespace,
    asked: Mapping[str, Any],
    failed: dict[str, str],
) -> list[Result]:
    """Ask all programs in turns, cold and warm, and judge their ids; one that fails goes to `failed`."""
    env, models = environment(options.threads), {one.name: one.model for one in all_engines(options)}
    texts, made = list(asked["queries"].values()), []
    with ExitStack() as running:
        servers: dict[str, Server] = {}
        for name, (command, found) in ready.items():
            words = [*command, "serve", found["folder"], "--model", models[name]]
            try:
                servers[name] = running.enter_context(Server.started(words, env))
                ids = answered(servers[name], texts, options.judge_seconds)
            except EngineError as error:
                failed[name] = f"answering: {error}"
                servers.pop(name, None)
                continue
            if len(ids) < len(texts):
                failed[f"{name}: {NDCG}"] = (
                    f"{len(ids)} of {len(texts)} questions answered in {options.judge_seconds} s"
                )
                continue
            ndcg = judged(asked["qrels"], dict(zip(asked["queries"], ids, strict=True)))[NDCG]
            made += [row(name, NDCG, "", [np.mean(list(ndcg.values()))])]
        warm = {name: partial(_round, server, texts, options) for name, server in servers.items()}
        for name, rounds in interleaved(warm, options.repeats).items():
            made += _warm_rows(name, rounds)
    cold = {
        name: partial(_cold, [*ready[name][0], "query", ready[name][1]["folder"], "--model", models[name]], env)
        for name in servers
    }
    for name, seconds in interleaved(cold, options.repeats).items():
        made.append(row(name, "cold query", "s", seconds))
    for name in servers:
        took = ready[name][1]
        made += [row(name, "indexing", "s", [took["seconds"]]), row(name, "on disk", "MB", [took["size_bytes"] / 1e6])]
        made.append(row(name, "indexing peak memory", "MB", [took["peak_bytes"] / 1e6]))
    return made


def answered(server: Server, texts: Sequence[str], seconds: float) -> list[list[str]]:
    """Return the ids that each question finds, in order, as far as the seconds last."""
    found: list[list[str]] = []
    end = time.perf_counter() + seconds
    for text in texts:
        found += server.ask([text])["ids"]
        if time.perf_counter() > end:
            break
    return found


def _round(server: Server, texts: Sequence[str], options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Ask some of the questions, others in every round as long as there are others; a slow program is asked fewer."""
    whole: dict[str, Any] = {"seconds": [], "encode_seconds": []}
    for place in range(options.asked):
        one = server.ask([texts[((number + 1) * options.asked + place) % len(texts)]])
        whole["seconds"] += one["seconds"]
        whole["encode_seconds"] += one["encode_seconds"] or []
        if sum(whole["seconds"]) > options.seconds:
            break
    return whole | {"resident_bytes": one["resident_bytes"]}


def _cold(command: Words, env: Mapping[str, str], _: int) -> float:
    return run([*command, "--text", COLD], env=env).seconds


def _warm_rows(name: str, rounds: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return percentiles a round of whole queries, and of encoding and searching where they can be told apart."""
    parts = {"warm query": [np.array(one["seconds"]) for one in rounds]}
    if all(one["encode_seconds"] for one in rounds):
        parts["encode"] = [np.array(one["encode_seconds"]) for one in rounds]
        parts["search"] = [whole - spent for whole, spent in zip(parts["warm query"], parts["encode"], strict=True)]
    made = [
        row(name, f"{part} p{percent}", "ms", [1000 * np.percentile(times, percent) for times in of_rounds])
        for part, of_rounds in parts.items()
        for percent in (50, 95)
    ]
    resident = [one["resident_bytes"] for one in rounds]
    return [*made, *([row(name, "serving memory", "MB", [one / 1e6 for one in resident])] if all(resident) else [])]


def row(system: str, what: str, unit: str, values: Sequence[float]) -> Result:
    """Return a measurement of one program."""
    return measurement(f"{system}: {what}", unit, values) | {"system": system, "what": what}


if __name__ == "__main__":
    main()
