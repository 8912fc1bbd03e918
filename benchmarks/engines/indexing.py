"""Install every program and build its index; both are reused while their inputs are unchanged."""

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
BUILT_IN = Path(hpdsearch.__file__).parent / "encoders"  # importing hpdsearch.encoder would take memory
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
        command: interpreter and adapter.
        model: argument of the adapter.
        folder: index folder.
        size_bytes: size of all files of the index.
        seconds: wall time of the indexing process, one per repeat.
        inside_seconds: the same without start and imports; empty if the adapter does not report it.
        peak_bytes: peak resident memory of the process, one per repeat.
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
    """Install each program, build its index and return both by name.

    Args:
        engines: programs; one that shares another's index must come after it.
        options: options of this run.
        failed: output; the error of each failed program by name.
        versions: output; the package versions of each environment.
    """
    ready: dict[str, IndexedEngine] = {}
    for engine in engines:
        print(f"{engine.name}: indexing", file=sys.stderr)
        try:
            command, packages = _command(engine)
            versions.update({f"{engine.name}: {name}": version for name, version in packages.items()})
            shared = ready.get(engine.shares) if engine.shares else None
            if engine.shares and not shared:
                raise EngineError(f"expected the index of {engine.shares}, which is not in this run or failed")
            ready[engine.name] = index_corpus(engine, command, packages, options, shared)
        except EngineError as error:
            failed[engine.name] = str(error)
            print(f"{engine.name}: {error}", file=sys.stderr)
    return ready


def _command(engine: Engine) -> tuple[Command, dict[str, str]]:
    """Install a program if it is missing; return its interpreter and adapter, and the versions of its packages.

    Raises:
        EngineError: the installation failed.
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
    """Index the corpus in new processes and return the measurements; an unchanged index of an earlier run is reused.

    Args:
        engine: the program.
        command: interpreter and adapter.
        packages: package versions by name.
        options: options of this run.
        shared: the program whose index is searched, if this one builds none.

    Raises:
        EngineError: the program failed.
    """
    if shared:
        return IndexedEngine(**{**vars(shared), "command": command, "model": engine.model})
    folder = options.work / f"{options.n}-{engine.name.replace(' ', '-')}"
    record = folder.with_name(f"{folder.name}.json")
    inputs = identity(engine, packages, options)
    kept = json.loads(record.read_bytes()) if record.exists() else {}
    if options.rebuild or kept.get("of") != inputs:
        record.unlink(missing_ok=True)
        kept = {"of": inputs, "took": _measure_indexing(engine, command, folder, options)}
        record.write_text(json.dumps(kept))
    return IndexedEngine(command=command, model=engine.model, folder=str(folder), **kept["took"])


def _measure_indexing(engine: Engine, command: Command, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Index once per repeat, each time into an empty folder, and return the measurements; the last index is kept."""
    arguments = [*command, "index", folder, "--corpus", options.work / "corpus.jsonl", "--model", engine.model]
    runs = []
    for _ in range(options.index_repeats):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with pin_to_cores(options.threads):
                runs.append(run(arguments, env=environment(options.threads)))
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
    """Return all inputs of an index; an index with other inputs must not be searched."""
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
    """Return the checksums of a model's files; the model is a folder or the name of a shipped encoder."""
    name = model.partition(":")[0]
    folder = BUILT_IN / name if name and (BUILT_IN / name).is_dir() else Path(name)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if name and folder.is_dir() else []
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def index_rows(ready: Mapping[str, IndexedEngine]) -> list[Result]:
    """Return time, memory and size of indexing, for every program that did not fail."""
    made = []
    for name, one in ready.items():
        made.append(engine_measurement(name, "indexing", "s", one.seconds))
        if one.inside_seconds:
            made.append(engine_measurement(name, "indexing, program started", "s", one.inside_seconds))
        made.append(engine_measurement(name, "indexing peak memory", "MB", [peak / 1e6 for peak in one.peak_bytes]))
        made.append(engine_measurement(name, "on disk", "MB", [one.size_bytes / 1e6]))
    return made


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables of every program: number of threads, no network."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "TOKENIZERS_PARALLELISM": "true",
        "PATH": os.environ["PATH"],
    }
