"""The encoder's model in onnxruntime: one thread a run, many runs at once."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.folder import MODEL
from hpdsearch.errors import EncoderError

TOKEN_BUDGET = 1024  # measured alike from 256 to 4,096; memory grows with it


class OnnxModel:
    """Runs model.onnx; may be called from several threads at once."""

    token_budget = TOKEN_BUDGET

    def __init__(self, folder: Path, *, threads: int) -> None:
        import onnxruntime

        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = 1  # batches run side by side: 15-20 % more texts than threads within a batch
        options.inter_op_num_threads = 1
        # Both keep memory for every shape that was ever met: it would grow over a long run.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # BASIC folds the stored int8 weights into float32 once; higher levels would fuse Add and LayerNormalization
        # into SkipLayerNormalization, which is slower.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / MODEL), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's kinds of error share no base but this
            raise EncoderError(
                f"{folder / MODEL}: onnxruntime {onnxruntime.__version__} cannot load it: {error}"
            ) from error

    def __call__(self, ids: npt.NDArray[np.int64]) -> Matrix:
        """Return the unit vectors (n, dim) of windows of equal length, ids (n, tokens)."""
        vectors: Matrix = self._session.run(None, {"input_ids": ids})[0]
        return vectors
