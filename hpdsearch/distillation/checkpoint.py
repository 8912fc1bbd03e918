"""A training's state on disk, from which a killed run goes on to the same result: tensors and numbers, no pickle.

The file is the SHA-256 of what follows, then safetensors, which would not notice an altered number by itself.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpdsearch.common.files import atomic_write
from hpdsearch.errors import DistillError

STATE = "state"  # the tensor that holds the JSON values, as bytes
SUM_BYTES = 32


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and JSON values in one file, which replaces the one before.

    Raises:
        DistillError: it cannot be written, as on a full disk; the one before stays.
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
            f"{path}: {len(content)} bytes cannot be written ({error.strerror}); make room and run the command again: "
            "it goes on from the checkpoint before"
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what was written, or None if there is no whole file: a run then begins anew."""
    from safetensors.torch import load

    try:
        stored = path.read_bytes()
    except OSError:
        return None
    content = stored[SUM_BYTES:]
    if hashlib.sha256(content).digest() != stored[:SUM_BYTES]:
        return None
    tensors = load(content)
    state: dict[str, Any] = json.loads(tensors.pop(STATE).numpy().tobytes())
    return tensors, state
