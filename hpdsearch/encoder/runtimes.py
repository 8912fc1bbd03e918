"""Import the runtimes of encoders, without the reports of usage that their official builds send to their makers."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime.

    Builds from 1.29 on report each session over the network from a thread of their own, and keep a database in the
    user's cache folder. In a forked child, the end of the interpreter would wait for that thread for ever.

    Source: onnxruntime, Privacy.md, "Disabling Telemetry".
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with _pass_interrupts():
        import onnxruntime

    module: ModuleType = onnxruntime
    return module


def import_openvino() -> ModuleType:
    """Import openvino, which reports each import over the network where the package openvino_telemetry is installed."""
    loaded = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # importing it fails; openvino goes on without
    try:
        with _pass_interrupts():
            import openvino
    finally:
        del sys.modules["openvino_telemetry"]
        if loaded is not None:
            sys.modules["openvino_telemetry"] = loaded
    module: ModuleType = openvino
    return module


@contextmanager
def _pass_interrupts() -> Iterator[None]:
    """Raise the interrupt or exit that a signal caused while pybind11 initialized a module: it makes an ImportError."""
    try:
        yield
    except ImportError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt | SystemExit):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        raise
