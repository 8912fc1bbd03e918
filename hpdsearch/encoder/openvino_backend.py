"""A Transformer encoder in OpenVINO: the same model.onnx, in bfloat16 where the processor has instructions for it."""

from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from hpdsearch.common.forks import PerProcess
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.folder import MODEL
from hpdsearch.encoder.runtimes import import_openvino
from hpdsearch.errors import EncoderError, require_extra

TOKEN_BUDGET = 1024


class OpenVinoSession:
    """Runs model.onnx; may be called from several threads at once, one core each."""

    device = "cpu"
    token_budget = TOKEN_BUDGET

    def __init__(self, folder: Path, *, threads: int) -> None:
        require_extra("openvino", extra="openvino", feature="backend openvino")
        self.threads = threads
        self._model = PerProcess(partial(CompiledModel, str(folder / MODEL), threads))
        self._model.get()

    def __call__(self, ids: npt.NDArray[np.int64]) -> Matrix:
        """Return the unit vectors float32 (n, dim) of windows of equal length, ids (n, tokens)."""
        return self._model.get()(ids)


class CompiledModel:
    """A model on the CPU with one output; may be called from several threads at once, one core each."""

    def __init__(self, model: Any, threads: int) -> None:
        """Compile a model.

        Args:
            model: the path of a file, or an openvino.Model. Its inputs are int64 (n, tokens).
            threads: calls that run at once.

        Raises:
            EncoderError: openvino cannot load the file, or compile the model.
        """
        openvino = import_openvino()
        core = openvino.Core()
        settings: dict[str, Any] = {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # two processes on one machine would be pinned to the same cores
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            settings["INFERENCE_PRECISION_HINT"] = "bf16"
        try:
            self._model = core.compile_model(model, "CPU", settings)
        except Exception as error:  # openvino raises RuntimeError and exceptions of its own
            raise EncoderError(f"{model}: openvino {openvino.__version__} cannot load it: {error}") from error
        self._idle: SimpleQueue[Any] = SimpleQueue()  # requests that no thread uses; each has its own buffers
        # The first call initializes openvino's bindings: two threads that make it at once deadlock (seen with 2026.4).
        self(*(np.ones((1, 2), dtype=np.int64) for _ in self._model.inputs))

    def __call__(self, *inputs: npt.NDArray[np.int64]) -> Matrix:
        """Return the output for inputs (n, tokens)."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._model.create_infer_request()
        request.infer(list(inputs))
        vectors: Matrix = request.get_output_tensor().data.astype(
            np.float32
        )  # a copy: the next call overwrites the buffer
        self._idle.put(request)
        return vectors
