"""Reading model.safetensors: float32 tensors; the large ones are stored as int8 rows with one scale each."""

from pathlib import Path

import numpy as np

from hpdsearch.common.vectors import Matrix
from hpdsearch.errors import EncoderError

SCALE = ".scale"  # tensor NAME holds int8 rows (rows, columns), NAME.scale their float32 scales (rows, 1)


def load_weights(path: Path) -> dict[str, Matrix]:
    """Read the tensors as float32, by name; int8 rows are multiplied by their scales, as in model.onnx.

    Raises:
        EncoderError: the file is no safetensors file, although its checksum is right.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise EncoderError(f"{path}: expected a safetensors file, got {error}; make the folder again") from error
    return {
        name: tensor.astype(np.float32) * stored[name + SCALE] if name + SCALE in stored else tensor
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }
