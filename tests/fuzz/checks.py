"""Run a fuzzed command line and check what every command line promises."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

import numpy as np
from cases import Case
from workspace import INDEX, OLD, OLD_BYTES, copy_workspace, damage, find_kinds, fingerprint, read_inputs

TIMEOUT = 60  # seconds; the slowest case takes a few
FIFO_BYTES = 1 << 20  # no case writes more into an output file
NEVER = (
    "Traceback (most recent call last)",
    "panicked at",
    "Exception ignored",
    "Fatal Python error",
    "terminate called",
)
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "HPDSEARCH_BACKEND": "onnx",
    "LANG": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
}


class Server:
    """The server of server.py, and the folders of its cases."""

    def __init__(self, template: Path, scratch: Path) -> None:
        self.template = template
        self.scratch = scratch
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()

    def ask(self, **request: object) -> dict[str, Any]:
        """Send one request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def find_faults(self, case: Case) -> list[str]:
        """Run a case in a copy of the workspace; return what it did wrong."""
        folder = copy_workspace(self.template, self.scratch / "work")
        streams = self.scratch / "streams"
        streams.mkdir(exist_ok=True)
        (streams / "stdin").write_bytes(case.input)
        (streams / "stdout").write_bytes(b"")
        rng = Random(case.seed)
        how = [damage(folder / name, rng) for name in case.damaged if (folder / name).exists()]
        before = fingerprint(folder / INDEX)
        kinds, inputs = find_kinds(folder), read_inputs(folder, case.damaged)
        reader = open_reader(folder / "fifo")
        answer = self.ask(
            folder=str(folder),
            arguments=case.arguments,
            environment=ENVIRONMENT | {"HOME": str(folder / "home")} | case.environment,
            input=str(streams / "stdin"),
            stdin=str(streams / "stdin") if case.stdin == "input" else case.stdin,
            stdout=str(streams / "stdout") if case.stdout == "file" else case.stdout,
            stderr=case.stderr,
            encoding=case.encoding,
            file_limit=case.file_limit,
            timeout=TIMEOUT,
        )
        os.close(reader)
        errors = answer["errors"]
        faults = self._check(case, answer["code"], errors, folder)
        faults += find_changes(case, answer["code"], folder, kinds, inputs)
        if not case.damaged and fingerprint(folder / INDEX) != before:
            faults += self.find_problems(folder / INDEX)
        shown = [f"damaged: {', '.join(how)}"] if how else []
        return [*faults, *shown, f"code {answer['code']}", errors[-3000:]] if faults else []

    def _check(self, case: Case, code: float | None, errors: str, folder: Path) -> list[str]:
        shown = (self.scratch / "streams" / "stdout").read_text("utf-8", "replace").strip()  # errors of a JSON session
        faults = [f"stderr holds {word!r}" for word in NEVER if word in errors]
        if code is None:
            faults.append(f"did not end within {TIMEOUT} seconds")
        elif code not in (0, 1, 2):
            faults.append(f"exit code {code}")
        elif code and case.stderr == "captured" and case.stdout != "broken pipe" and not errors.strip() + shown:
            faults.append("failed without a message")
        faults += [f"left {path.relative_to(folder)}" for path in folder.rglob("*.partial")]
        outputs = (path for path in [*folder.glob("new*"), folder / OLD] if path.is_file())
        return faults + [f"wrote half of {path.name}" for path in outputs if not is_complete(path)]

    def find_problems(self, index: Path) -> list[str]:
        """Verify an index folder; return its problems."""
        problems = self.scratch / "problems"
        problems.unlink(missing_ok=True)
        answer = self.ask(verify=str(index), problems=str(problems), timeout=TIMEOUT)
        if answer["code"] != 0:
            return [f"verify ended with {answer['code']}"]
        return [f"the index is damaged: {line}" for line in problems.read_text().splitlines()]

    def run(self, folder: Path, arguments: list[str]) -> tuple[float | None, str, str]:
        """Run a command line in a folder; return its exit code, its output and its errors."""
        out = self.scratch / "out"
        out.write_bytes(b"")
        answer = self.ask(
            folder=str(folder),
            arguments=arguments,
            environment=ENVIRONMENT | {"HOME": str(folder / "home")},
            stdin=os.devnull,
            stdout=str(out),
            stderr="captured",
            encoding="utf-8",
            file_limit=None,
            timeout=TIMEOUT,
        )
        return answer["code"], out.read_text(), answer["errors"]


def open_reader(fifo: Path) -> int:
    """Open a FIFO for reading, with room for all that a case writes."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, FIFO_BYTES)
    return descriptor


def find_changes(
    case: Case, code: float | None, folder: Path, kinds: dict[str, int], inputs: dict[str, bytes]
) -> list[str]:
    """Return what a command must not have changed: links, FIFOs, inputs, the old file without --overwrite."""
    found = find_kinds(folder)
    faults = [f"changed the kind of {name}" for name in kinds if found.get(name) != kinds[name]]
    if read_inputs(folder, case.damaged) != inputs:
        faults.append("changed an input")
    is_replaced = (folder / OLD).read_bytes() != OLD_BYTES
    if is_replaced and (code != 0 or "--overwrite" not in case.arguments):
        faults.append(f"replaced {OLD}")
    return faults


def is_complete(path: Path) -> bool:
    """Tell whether an output file ends as its format does."""
    data = path.read_bytes()
    if data.startswith(b"\x93NUMPY"):
        return np.load(path).ndim == 2
    if path.suffix == ".svg" and data.startswith(b"<?xml"):
        return data.rstrip().endswith(b"</svg>")
    if data.startswith(b"\x89PNG"):
        return data.endswith(b"IEND\xaeB`\x82")
    lines = data.removesuffix(b"\n").split(b"\n")
    is_run = b" Q0 " in lines[0]
    return data[-1:] in (b"", b"\n") and (not is_run or all(len(line.split(b" ")) == 6 for line in lines))
