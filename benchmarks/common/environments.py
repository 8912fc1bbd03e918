"""Create the virtual environments of the baselines at first use, and again when their requirements change."""

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.harness import BENCHMARKS, ROOT, Command, run_json

PEERS = BENCHMARKS / "peers"
OFFLINE = {"HF_HUB_OFFLINE": "1"}  # a baseline never waits for a server


def baseline_python(
    folder: Path,
    requirements: Path = PEERS / "requirements.txt",
    constraints: Path | None = ROOT / "constraints.txt",
) -> Path:
    """Return the interpreter of a baseline's environment; install it if it is missing or its requirements changed."""
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    pins: Command = ["-c", constraints] if constraints else []
    expected = requirements.read_text() + (constraints.read_text() if constraints else "")
    if not installed.exists() or installed.read_text() != expected:
        print(f"{folder}: installing a baseline", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip: Command = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)  # an old pip may try versions for an hour
        subprocess.run([*pip, "-r", requirements, *pins], check=True)
        installed.write_text(expected)
    return python


def baseline_versions(
    python: Path, names: Sequence[str] = ("torch", "transformers", "sentence-transformers", "numpy")
) -> dict[str, str]:
    """Return the versions of packages in a baseline's environment."""
    expression = f"{{name: version(name) for name in {tuple(names)}}}"
    code = f"import json; from importlib.metadata import version; print(json.dumps({expression}))"
    versions: dict[str, str] = run_json([python, "-c", code])
    return versions
