"""Run a fuzzed command line and check what every command line promises."""

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
from workspace import INDEX, copy_workspace, damage, fingerprint

TIMEOUT = 60  # seconds; the slowest case takes a few
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
        errors = answer["errors"]
        faults = self._check(case, answer["code"], errors, folder)
        if not case.damaged and fingerprint(folder / INDEX) != before:
            faults += self._verify(folder / INDEX)
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
        outputs = (path for path in folder.glob("new*") if path.is_file())
        return faults + [f"wrote half of {path.name}" for path in outputs if not is_complete(path)]

    def _verify(self, index: Path) -> list[str]:
        problems = self.scratch / "problems"
        problems.unlink(missing_ok=True)
        answer = self.ask(verify=str(index), problems=str(problems), timeout=TIMEOUT)
        if answer["code"] != 0:
            return [f"verify ended with {answer['code']}"]
        return [f"the index is damaged: {line}" for line in problems.read_text().splitlines()]


def is_complete(path: Path) -> bool:
    """Tell whether an output file ends as its format does."""
    data = path.read_bytes()
    if data.startswith(b"\x93NUMPY"):
        return len(np.load(path)) > 0
    if path.suffix == ".svg" and data.startswith(b"<?xml"):
        return data.rstrip().endswith(b"</svg>")
    if data.startswith(b"\x89PNG"):
        return data.endswith(b"IEND\xaeB`\x82")
    lines = data.removesuffix(b"\n").split(b"\n")
    return data.endswith(b"\n") and all(len(line.split(b" ")) == 6 for line in lines)  # a TREC run
