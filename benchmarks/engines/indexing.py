"""Environment and index of every program, made once and reused while nothing has changed."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hpdsearch
from benchmarks.common.environments import baseline_python, baseline_versions
from benchmarks.common.harness import BENCHMARKS, CACHE, Command, run
from benchmarks.common.results import Result
from benchmarks.engines.processes import (
    MARK,
    Engine,
    EngineError,
    engine_measurement,
    folder_bytes,
    last_error_line,
    pin_to_cores,
)
from hpdsearch.common.files import file_sha256

ADAPTERS = BENCHMARKS / "peers" / "engines"
BUILT_IN = Path(hpdsearch.__file__).parent / "encoders"  # its own module would load what makes this process large
PACKAGES = {
    "st_faiss": ("sentence-transformers", "faiss-cpu", "torch"),
    "txtai_engine": ("txtai", "torch", "transformers"),
    "leann_engine": ("leann", "leann-core", "torch"),
    "chroma_engine": ("chromadb", "sentence-transformers", "torch"),
    "model2vec_vicinity": ("model2vec", "vicinity"),
    "bm25s_engine": ("bm25s", "PyStemmer"),
}


@dataclass(frozen=True)
class IndexedEngine:
    """A program with its index.

    Attributes:
        command: its interpreter and adapter.
        model: given to the adapter.
        folder: of the index.
        size_bytes: of all files of the index.
        seconds: of the whole process that indexed, one a repeat.
        inside_seconds: of them without starting and importing; empty if the adapter did not tell.
        peak_bytes: resident memory of that process.
    """

    command: Command
    model: str
    folder: str
    size_bytes: int
    seconds: list[float]
    inside_seconds: list[float]
    peak_bytes: list[float]


def prepare_indexes(
    engines: Sequence[Engine], options: argparse.Namespace, failed: dict[str, str], versions: dict[str, str]
) -> dict[str, IndexedEngine]:
    """Make each program's environment and index; return them by name.

    Args:
        engines: in order; one that shares another's index comes after it.
        options: of this run.
        failed: gets how a program failed, by name.
        versions: gets the packages of each environment.
    """
    ready: dict[str, IndexedEngine] = {}
    for engine in engines:
        print(f"{engine.name}: indexing", file=sys.stderr)
        try:
            command, packages = _command(engine)
            versions.update({f"{engine.name}: {name}": of for name, of in packages.items()})
            shared = ready.get(engine.shares) if engine.shares else None
            if engine.shares and not shared:
                raise EngineError(f"expected the index of {engine.shares}, which is not in this run or failed")
            ready[engine.name] = index_corpus(engine, command, packages, options, shared)
        except EngineError as error:
            failed[engine.name] = str(error)
            print(f"{engine.name}: {error}", file=sys.stderr)
    return ready


def _command(engine: Engine) -> tuple[Command, dict[str, str]]:
    """Return the interpreter and adapter of a program, installed if it was not, and the versions of its packages.

    Raises:
        EngineError: it cannot be installed.
    """
    script = ADAPTERS / f"{engine.adapter}.py"
    if not (packages := PACKAGES.get(engine.adapter)):
        return [sys.executable, script], {}
    try:
        python = baseline_python(CACHE / "engines" / engine.adapter, script.with_suffix(".txt"), constraints=None)
        return [python, script], baseline_versions(python, packages)
    except (Exception, SystemExit) as error:
        raise EngineError(f"cannot be installed: {last_error_line(error)}") from error


def index_corpus(
    engine: Engine,
    command: Command,
    packages: Mapping[str, str],
    options: argparse.Namespace,
    shared: IndexedEngine | None,
) -> IndexedEngine:
    """Index the corpus in whole processes and return what it took; what an earlier run kept is not done again.

    Args:
        engine: the program.
        command: its interpreter and adapter.
        packages: their versions, by name.
        options: of this run.
        shared: the program whose index it asks, if it makes none.

    Raises:
        EngineError: the program does.
    """
    if shared:
        return IndexedEngine(**{**vars(shared), "command": command, "model": engine.model})
    folder = options.work / f"{options.n}-{engine.name.replace(' ', '-')}"
    record = folder.with_name(f"{folder.name}.json")
    wanted = identity(engine, packages, options)
    kept = json.loads(record.read_bytes()) if record.exists() else {}
    if options.rebuild or kept.get("of") != wanted:
        record.unlink(missing_ok=True)
        kept = {"of": wanted, "took": _measure_indexing(engine, command, folder, options)}
        record.write_text(json.dumps(kept))
    return IndexedEngine(command=command, model=engine.model, folder=str(folder), **kept["took"])


def _measure_indexing(engine: Engine, command: Command, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Index once a repeat, each in an empty folder, and return what it took; the last index stays."""
    words = [*command, "index", folder, "--corpus", options.work / "corpus.jsonl", "--model", engine.model]
    runs = []
    for _ in range(options.index_repeats):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with pin_to_cores(options.threads):
                runs.append(run(words, env=environment(options.threads)))
        except SystemExit as error:
            raise EngineError(f"indexing: {last_error_line(error)}") from error
    lines = [line.removeprefix(MARK) for one in runs for line in one.stdout.splitlines() if line.startswith(MARK)]
    return {
        "size_bytes": folder_bytes(folder),
        "seconds": [one.seconds for one in runs],
        "inside_seconds": [json.loads(line)["seconds"] for line in lines],
        "peak_bytes": [one.peak_bytes for one in runs],
    }


def identity(engine: Engine, packages: Mapping[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Return what an index depends on; one that was made of anything else must not be asked."""
    return {
        "program": asdict(engine),
        "packages": dict(packages) or {"hpdsearch": hpdsearch.__version__},
        "adapter": file_sha256(ADAPTERS / f"{engine.adapter}.py"),
        "model": _model_checksums(engine.model),
        "corpus": file_sha256(options.work / "corpus.jsonl"),
        "threads": options.threads,
        "repeats": options.index_repeats,
    }


def _model_checksums(model: str) -> dict[str, str]:
    """Return the sums of a model's files; of an encoder that ships by its name, too."""
    name = model.partition(":")[0]
    folder = BUILT_IN / name if name and (BUILT_IN / name).is_dir() else Path(name)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if name and folder.is_dir() else []
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def index_rows(ready: Mapping[str, IndexedEngine]) -> list[Result]:
    """Return what indexing took, of every program that could."""
    made = []
    for name, one in ready.items():
        made.append(engine_measurement(name, "indexing", "s", one.seconds))
        if one.inside_seconds:
            made.append(engine_measurement(name, "indexing, program started", "s", one.inside_seconds))
        made.append(engine_measurement(name, "indexing peak memory", "MB", [peak / 1e6 for peak in one.peak_bytes]))
        made.append(engine_measurement(name, "on disk", "MB", [one.size_bytes / 1e6]))
    return made


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
