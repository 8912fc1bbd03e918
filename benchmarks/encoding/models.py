"""Run the models of the encoding benchmark: each process loads one model and encodes on request."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.environments import PEERS, baseline_python, baseline_versions
from benchmarks.common.harness import CACHE, Command
from benchmarks.common.model2vec import model2vec_python, model2vec_table
from benchmarks.common.sentence_transformers import onnx_model, onnx_python, torch_python

WORKER = PEERS / "encode_worker.py"
TEACHER_CONFIGURATIONS = [(kind, setting) for kind in ("teacher", "own-teacher") for setting in ("float32", "bfloat16")]
MODEL2VEC, FASTEMBED, SENTENCE_TRANSFORMERS = "model2vec", "fastembed", "sentence-transformers"
BASELINES = (MODEL2VEC, FASTEMBED, SENTENCE_TRANSFORMERS)
PRECISIONS = ("float32", "bfloat16")
# Errors that stop a baseline but not the run: it cannot be installed, started or called.
FAILURES = (SystemExit, subprocess.SubprocessError, OSError, json.JSONDecodeError)
MAX_MESSAGE_LENGTH = 200

Request = Callable[[Mapping[str, Any]], Any]  # JSON -> JSON
TimeEncoding = Callable[[Sequence[str], bool], list[float]]  # (texts, one by one) -> seconds in total, or per text


@dataclass(frozen=True)
class Model:
    """A model to measure.

    Attributes:
        command: command of its process, without the threads.
        folder: folder of a Transformer, for counting its operations; None for a token table.
        is_baseline: a failure is reported and does not stop the run.
    """

    command: Command
    folder: Path | None = None
    is_baseline: bool = False


def worker(kind: str, model: str | Path, setting: str = "", *, python: str | Path = sys.executable) -> Command:
    """Return the command of a model's process, without the threads."""
    return [python, WORKER, kind, model, "--setting", setting]


def teacher_configurations(folder: Path) -> dict[str, Model]:
    """Return the configurations of the teacher, by name."""
    return {
        f"{kind} {setting}": Model(worker(kind, folder, setting), folder) for kind, setting in TEACHER_CONFIGURATIONS
    }


def baseline_makers(baselines: Sequence[str], teacher: Path, same_size: Path) -> dict[str, Callable[[], Model]]:
    """Return functions that prepare the baselines, by name of the system; the first call installs and exports.

    Args:
        baselines: names out of BASELINES.
        teacher: the teacher's folder.
        same_size: folder of a model as large as `base`.
    """
    makers: dict[str, Callable[[], Model]] = {}
    if MODEL2VEC in baselines:
        makers[MODEL2VEC] = lambda: Model(
            worker(MODEL2VEC, model2vec_table(teacher), python=model2vec_python()), is_baseline=True
        )
    if FASTEMBED in baselines:
        makers[f"{same_size.resolve().name}, {FASTEMBED}"] = lambda: Model(
            worker(FASTEMBED, onnx_model(same_size), python=fastembed_python()), same_size, is_baseline=True
        )
    for folder in (same_size, teacher) if SENTENCE_TRANSFORMERS in baselines else ():
        name = folder.resolve().name
        makers |= {f"{name}, torch {precision}": _torch_maker(folder, precision) for precision in PRECISIONS}
        makers[f"{name}, ONNX"] = _onnx_maker(folder)
    return makers


def fastembed_python() -> Path:
    """Return the interpreter of fastembed's environment; the first call installs it."""
    return baseline_python(CACHE / "fastembed", PEERS / "fastembed.txt", constraints=None)


def fastembed_versions() -> dict[str, str]:
    """Return the versions of fastembed's packages."""
    names = ("fastembed", "onnxruntime", "tokenizers", "numpy")
    return {f"fastembed's {name}": version for name, version in baseline_versions(fastembed_python(), names).items()}


def _torch_maker(folder: Path, precision: str) -> Callable[[], Model]:
    return lambda: Model(
        worker(SENTENCE_TRANSFORMERS, folder, precision, python=torch_python()), folder, is_baseline=True
    )


def _onnx_maker(folder: Path) -> Callable[[], Model]:
    return lambda: Model(
        worker(SENTENCE_TRANSFORMERS, onnx_model(folder), "onnx", python=onnx_python()), folder, is_baseline=True
    )


def prepare_baselines(makers: Mapping[str, Callable[[], Model]], failed: dict[str, str]) -> dict[str, Model]:
    """Prepare the baselines and return them by name; errors are added to `failed`."""
    models = {}
    for name, make in makers.items():
        try:
            models[name] = make()
        except FAILURES as error:
            report_failure(name, error, failed)
    return models


def report_failure(name: str, error: BaseException, failed: dict[str, str]) -> None:
    """Add the shortened error of a baseline to `failed`, and print it."""
    if isinstance(error, subprocess.CalledProcessError):
        message = f"its packages could not be installed: pip ended with exit code {error.returncode}"
    else:  # the last line of a traceback is the error; ~ hides the home folder
        message = (str(error).strip().split("\n")[-1] or type(error).__name__).replace(str(Path.home()), "~")
    failed[name] = message[:MAX_MESSAGE_LENGTH]
    print(f"{name}: left out: {failed[name]}", file=sys.stderr)


@contextmanager
def json_process(command: Command, threads: int, environment: Mapping[str, str] | None = None) -> Iterator[Request]:
    """Run a process that answers a line of JSON with a line of JSON, and yield a function that sends a request.

    Raises:
        SystemExit: the process ended without an answer, at its start or at a request; the message contains its stderr.
    """
    arguments = [*map(str, command), "--threads", str(threads)]
    env = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL", "RAYON")}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,  # a buffer could not be flushed into a process that has died
            env={**os.environ, **(environment or {}), **env, "HF_HUB_OFFLINE": "1"},
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        requests = process.stdin
        answers = process.stdout

        def read_answer() -> bytes:
            line = answers.readline()
            if not line:
                errors.seek(0)
                raise SystemExit(f"{' '.join(arguments)}:\nended before it answered\n{errors.read().decode()}".strip())
            return line

        def send(request: Mapping[str, Any]) -> Any:
            try:
                requests.write(json.dumps(request).encode() + b"\n")
            except BrokenPipeError:
                read_answer()
            return json.loads(read_answer())

        read_answer()  # "ready"
        yield send


@contextmanager
def model_process(command: Command, threads: int) -> Iterator[TimeEncoding]:
    """Run a model's process, and yield a function that measures its encoding of texts."""
    with tempfile.TemporaryDirectory() as scratch, json_process(command, threads) as request:
        path = Path(scratch) / "texts.json"

        def time_encoding(texts: Sequence[str], one_by_one: bool) -> list[float]:
            path.write_text(json.dumps(list(texts)), encoding="utf-8")
            seconds: list[float] = request({"texts": str(path), "one_by_one": one_by_one})["seconds"]
            return seconds

        yield time_encoding
