"""Encoding reports nothing to anybody: no network, no identifier and no database in the user's folders."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = """
import socket, sys

def refuse(*_):
    sys.exit("a connection was tried")

socket.socket.connect = refuse
from hpdsearch import Encoder

Encoder.load("small", backend=sys.argv[1]).encode(["one", "two"])
sys.exit("openvino_telemetry" in sys.modules and "openvino_telemetry was imported")
"""


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_encoding_leaves_nothing_in_the_home_folder(tmp_path: Path, backend: str) -> None:
    if backend == "openvino" and find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend],
        env={**kept, "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.rglob("*")) == []


def test_a_loaded_module_that_reports_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from hpdsearch.encoder.runtimes import import_openvino

    monkeypatch.setitem(sys.modules, "openvino_telemetry", sys)
    import_openvino()
    assert sys.modules["openvino_telemetry"] is sys


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_during_the_import_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, interrupt: type[BaseException]
) -> None:
    """pybind11 makes an ImportError of what a signal handler raises while it initializes a module."""
    from hpdsearch.encoder import runtimes

    program = (
        f"try:\n    raise {interrupt.__name__}\nexcept BaseException as error:\n    raise ImportError from error\n"
    )
    (tmp_path / f"{runtime}.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == runtime]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(interrupt):
        getattr(runtimes, f"import_{runtime}")()
    (tmp_path / f"{runtime}.py").write_text("raise ImportError('no such library')\n")
    with pytest.raises(ImportError, match="no such library"):
        getattr(runtimes, f"import_{runtime}")()
