"""The models of the encoding benchmark: each is a process that has loaded one model and encodes on request."""

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

from benchmarks.common.environments import PEERS
from benchmarks.common.harness import Command
from benchmarks.common.model2vec import model2vec_python, model2vec_table
from benchmarks.common.sentence_transformers import onnx_model, onnx_python, torch_python

WORKER = PEERS / "encode_worker.py"
TEACHER_WAYS = [(kind, setting) for kind in ("teacher", "own-teacher") for setting in ("float32", "bfloat16")]
MODEL2VEC, SENTENCE_TRANSFORMERS = "model2vec", "sentence-transformers"
PEER_NAMES = (MODEL2VEC, SENTENCE_TRANSFORMERS)
PRECISIONS = ("float32", "bfloat16")
# What stops a peer, and not the run: it cannot be installed, started or asked.
FAILURES = (SystemExit, subprocess.SubprocessError, OSError, json.JSONDecodeError)
LONGEST_MESSAGE = 200

Answer = Callable[[Mapping[str, Any]], Any]
Ask = Callable[[Sequence[str], bool], list[float]]  # (texts, one by one) -> seconds, of all together or of each


@dataclass(frozen=True)
class Model:
    """The models that take part.

    Attributes:
        command: of its process, without its threads.
        folder: of a Transformer, whose operations are counted; None for a table.
        is_peer: if it fails it is left out, and the result says how.
    """

    command: Command
    folder: Path | None = None
    is_baseline: bool = False


def worker(kind: str, model: str | Path, setting: str = "", *, python: str | Path = sys.executable) -> Command:
    """Return the command of a model's process, without its threads."""
    return [python, WORKER, kind, model, "--setting", setting]


def teacher_ways(folder: Path) -> dict[str, Model]:
    """Return the ways to run the teacher, by name."""
    return {f"{kind} {setting}": Model(worker(kind, folder, setting), folder) for kind, setting in TEACHER_WAYS}


def baseline_makers(peers: Sequence[str], teacher: Path, same_size: Path) -> dict[str, Callable[[], Model]]:
    """Return what prepares the peers, by the name of the system; at first use that installs and exports.

    Args:
        peers: of PEER_NAMES.
        teacher: its folder.
        same_size: folder of the model that people use instead of an encoder of ours.
    """
    makers: dict[str, Callable[[], Model]] = {}
    if MODEL2VEC in peers:
        makers[MODEL2VEC] = lambda: Model(
            worker(MODEL2VEC, model2vec_table(teacher), python=model2vec_python()), is_baseline=True
        )
    for folder in (same_size, teacher) if SENTENCE_TRANSFORMERS in peers else ():
        name = folder.resolve().name
        makers |= {f"{name}, torch {precision}": _in_torch(folder, precision) for precision in PRECISIONS}
        makers[f"{name}, ONNX"] = _in_onnx(folder)
    return makers


def _in_torch(folder: Path, precision: str) -> Callable[[], Model]:
    return lambda: Model(
        worker(SENTENCE_TRANSFORMERS, folder, precision, python=torch_python()), folder, is_baseline=True
    )


def _in_onnx(folder: Path) -> Callable[[], Model]:
    return lambda: Model(
        worker(SENTENCE_TRANSFORMERS, onnx_model(folder), "onnx", python=onnx_python()), folder, is_baseline=True
    )


def prepare_baselines(makers: Mapping[str, Callable[[], Model]], failed: dict[str, str]) -> dict[str, Model]:
    """Return the peers that could be prepared; how the others failed is added to `failed`."""
    models = {}
    for name, make in makers.items():
        try:
            models[name] = make()
        except FAILURES as error:
            fail(name, error, failed)
    return models


def fail(name: str, error: BaseException, failed: dict[str, str]) -> None:
    """Add to `failed` in few words how a peer failed, and say it."""
    if isinstance(error, subprocess.CalledProcessError):
        message = f"its packages could not be installed: pip ended with exit code {error.returncode}"
    else:  # the last line of a traceback names the error; a result names no folder of this machine's user
        message = (str(error).strip().split("\n")[-1] or type(error).__name__).replace(str(Path.home()), "~")
    failed[name] = message[:LONGEST_MESSAGE]
    print(f"{name}: left out: {failed[name]}", file=sys.stderr)


@contextmanager
def json_process(command: Command, threads: int, environment: Mapping[str, str] | None = None) -> Iterator[Answer]:
    """Run a process inside the block that answers a line of JSON with a line of JSON; give a function that asks it.

    Raises:
        SystemExit: it ended before it answered, when it started or when it was asked; the message ends as its stderr.
    """
    words = [*map(str, command), "--threads", str(threads)]
    env = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL", "RAYON")}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            bufsize=0,  # nothing is left to be flushed into a process that has died
            env={**os.environ, **(environment or {}), **env, "HF_HUB_OFFLINE": "1"},
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        requests, answers = process.stdin, process.stdout

        def answer() -> bytes:
            line = answers.readline()
            if not line:
                said.seek(0)
                raise SystemExit(f"{' '.join(words)}:\nended before it answered\n{said.read().decode()}".strip())
            return line

        def ask(request: Mapping[str, Any]) -> Any:
            try:
                requests.write(json.dumps(request).encode() + b"\n")
            except BrokenPipeError:
                answer()
            return json.loads(answer())

        answer()  # "ready"
        yield ask


@contextmanager
def model_process(command: Command, threads: int) -> Iterator[Ask]:
    """Run a model's process inside the block, and give a function that has it encode texts."""
    with tempfile.TemporaryDirectory() as scratch, json_process(command, threads) as answer:
        path = Path(scratch) / "texts.json"

        def ask(texts: Sequence[str], one_by_one: bool) -> list[float]:
            path.write_text(json.dumps(list(texts)), encoding="utf-8")
            seconds: list[float] = answer({"texts": str(path), "one_by_one": one_by_one})["seconds"]
            return seconds

        yield ask
