"""Store matrices in int8, with a float32 scale for each row."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.bert import WORD_EMBEDDINGS
from hpdsearch.encoder.weights import SCALE

Int8Matrix = npt.NDArray[np.int8]


def quantize(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert the word embeddings and the layers' matrices to int8, with float32 scales (rows, 1) under other names."""
    result = dict(tensors)
    for name, tensor in tensors.items():
        is_dense = name.startswith("encoder.layer.") and tensor.ndim == 2
        if is_dense or name == WORD_EMBEDDINGS:
            result[name], result[name + SCALE] = quantize_rows(tensor)
    return result


def quantize_rows(matrix: np.ndarray) -> tuple[Int8Matrix, Matrix]:
    """Quantize a matrix to int8 (rows, columns) in -127..127 and float32 scales (rows, 1): matrix ~ int8 * scales."""
    peaks = np.abs(matrix).max(axis=1, keepdims=True)
    scales = np.where(peaks == 0, 1, peaks / 127).astype(np.float32)
    return np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8), scales
