"""A Transformer encoder in onnxruntime: one thread a run, several runs at once."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hpdsearch.common.forks import PerProcess
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.runtimes import import_onnxruntime
from hpdsearch.errors import EncoderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOKEN_BUDGET = 512  # passages are slower in larger batches, single texts in smaller ones


class OnnxSession:
    """Runs a graph; may be called from several threads at once."""

    device = "cpu"
    token_budget = TOKEN_BUDGET

    def __init__(self, model: Path, *, threads: int) -> None:
        self.threads = threads
        self._session = PerProcess(partial(_open_session, model))
        self._session.get()

    def __call__(self, ids: npt.NDArray[np.int64]) -> Matrix:
        """Return the unit vectors float32 (n, dim) of windows of equal length, ids (n, tokens)."""
        vectors: Matrix = self._session.get().run(None, {"input_ids": ids})[0]
        return vectors


def _open_session(model: Path) -> "InferenceSession":
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # 3: errors
    options.intra_op_num_threads = 1  # one batch per thread: 15-20 % more texts than several threads per batch
    options.inter_op_num_threads = 1
    # It would keep memory for every batch shape. The arena stays: without it, onnxruntime returns its memory after each
    # product, and 10 to 30 % of the time goes into page faults.
    options.enable_mem_pattern = False
    # BASIC folds the stored int8 weights into float32 once; higher levels would fuse Add and LayerNormalization into
    # SkipLayerNormalization, which is slower.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        raise EncoderError(
            f"{model}: onnxruntime {onnxruntime.__version__} cannot load it: {error}; "
            "copy or make the encoder folder again"
        ) from error
