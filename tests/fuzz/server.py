"""A server that has imported everything and forks a process for each command line; it speaks JSON over its pipes.

A forked process has real streams, arguments, environment and exit code, as the shell would give it, within
milliseconds. Only the encoding of file names and the locale stay those of the server (see test_streams.py).
"""

import contextlib
import gc
import io
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

READ, WRITE = os.O_RDONLY, os.O_WRONLY
PRELOADED = (
    "faiss",
    "tantivy",
    "tokenizers",
    "onnxruntime",
    "pyarrow.parquet",
    "matplotlib.figure",
    "tabulate",
    "tqdm",
)
POLL_SECONDS = 0.002
PIPE_BYTES = 1 << 16


def serve(requests: io.TextIOBase, answers: io.TextIOBase) -> None:
    """Answer one request a line until the end of input."""
    for line in requests:
        answers.write(json.dumps(run_forked(json.loads(line))) + "\n")
        answers.flush()


def run_forked(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request in a forked process; return its exit code, negative for a signal, and the seconds."""
    start = time.monotonic()
    reading, writing = os.pipe()  # a limit of file sizes does not concern a pipe, so the process can report its errors
    os.set_blocking(reading, False)
    process = os.fork()
    if process == 0:
        code = 70
        try:
            os.dup2(writing, 2)
            code = run_request(request)
        finally:
            os._exit(code)
    os.close(writing)
    code = wait(process, request["timeout"])
    errors = os.read(reading, PIPE_BYTES).decode("utf-8", "replace")
    os.close(reading)
    return {"code": code, "seconds": time.monotonic() - start, "errors": errors}


def wait(process: int, timeout: float) -> int | None:
    """Return the exit code of a process, negative for a signal; kill a process that does not end in time."""
    end = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(POLL_SECONDS)


def run_request(request: dict[str, Any]) -> int:
    """Become the process that a request describes: verify an index folder, or run a command line."""
    if "verify" in request:
        from hpdsearch.index.verify import find_problems

        problems = find_problems(Path(request["verify"]))
        Path(request["problems"]).write_text("\n".join(problems))
        return 0
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    attach_streams(request)
    if request["file_limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.argv = ["hpdsearch", *request["arguments"]]
    return run_main()


def attach_streams(request: dict[str, Any]) -> None:
    """Put the requested files, pipes and devices, or nothing, behind the descriptors 0, 1 and 2."""
    os.closerange(3, 64)  # the pipes of the server
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        target = request[name]
        if target != "captured":
            os.close(number)
        setattr(sys, name, None)
        if target == "closed":
            continue
        if target == "captured":
            opened = number
        elif target == "broken pipe" or (number == 0 and target == "pipe"):
            opened = open_pipe(request, broken=target == "broken pipe")
        else:
            opened = os.open(target, READ if number == 0 else WRITE | os.O_APPEND)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        stream = open_text(number, request["encoding"] if number < 2 else "utf-8", "strict" if number < 2 else None)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def open_pipe(request: dict[str, Any], *, broken: bool) -> int:
    """Return one end of a pipe: the writing end of one that nobody reads, or the reading end of one with the input."""
    reading, writing = os.pipe()
    if broken:
        os.close(reading)
        return writing
    with os.fdopen(writing, "wb") as file:
        file.write(Path(request["input"]).read_bytes())
    return reading


def open_text(number: int, encoding: str, errors: str | None) -> io.TextIOWrapper:
    """Open a descriptor as Python opens a standard stream."""
    raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
    buffered: Any = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffered, encoding=encoding, errors=errors or "backslashreplace", line_buffering=number == 2
    )


def run_main() -> int:
    """Run the command line as the interpreter does; return the exit code."""
    from hpdsearch.cli import main

    code = 0
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        code = 1
        with contextlib.suppress(OSError, AttributeError):
            traceback.print_exc()
    gc.collect()
    threading._shutdown()  # type: ignore[attr-defined]  # as at the end of the interpreter
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = 120  # the interpreter's code for a stream that cannot be flushed
    return code


def preload() -> None:
    """Import what the commands import, so that the forked processes need not."""
    from importlib import import_module

    import hpdsearch.distillation.pipeline
    import hpdsearch.evaluation
    import hpdsearch.index.plot
    import hpdsearch.index.verify  # noqa: F401

    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy the memory of all modules


if __name__ == "__main__":
    preload()
    ours = [os.dup(number) for number in (0, 1)]
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    serve(os.fdopen(ours[0], "r", encoding="utf-8"), os.fdopen(ours[1], "w", encoding="utf-8"))  # type: ignore[arg-type]
