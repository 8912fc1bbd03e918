"""The checkpoint of a training: tensors and JSON values in one file, without pickle.

The file is the SHA-256 of its content, followed by the content in the format of safetensors, which has no checksum of
its own.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.errors import DistillError

STATE = "state"  # the tensor that holds the JSON values, as bytes
CHECKSUM_BYTES = 32


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and JSON values to one file, atomically.

    Raises:
        DistillError: the file cannot be written, for example because the disk is full; the previous one stays.
    """
    from safetensors.torch import save

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    stored[STATE] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    content = save(stored)
    try:
        with atomic_write(path) as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
    except OSError as error:
        raise DistillError(
            f"{path}: {len(content)} bytes cannot be written ({error.strerror}); free disk space and run the command "
            "again: it continues from the previous checkpoint"
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the tensors and JSON values of a file; None if it is missing or corrupt, so that the run starts again."""
    from safetensors.torch import load

    try:
        stored = path.read_bytes()
    except OSError:
        return None
    content = stored[CHECKSUM_BYTES:]
    if hashlib.sha256(content).digest() != stored[:CHECKSUM_BYTES]:
        return None
    tensors = load(content)
    state: dict[str, Any] = parse_json(tensors.pop(STATE).numpy().tobytes())
    return tensors, state
