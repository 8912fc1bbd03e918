"""The device that encodes many texts: the CPU, or a GPU through torch. Single queries are encoded on the CPU."""

import logging
import os
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from hpdsearch.errors import EncoderError, require_extra

logger = logging.getLogger(__name__)

# Files of the drivers that torch.cuda needs: NVIDIA, Jetson, WSL, AMD (ROCm), and NVIDIA on Windows.
DRIVER_FILES = (
    Path("/dev/nvidiactl"),
    Path("/dev/nvmap"),
    Path("/dev/dxg"),
    Path("/dev/kfd"),
    Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll"),
)


class Device(Enum):
    """The device that runs a Transformer."""

    AUTO = "auto"  # cuda if torch is installed and finds a GPU, else cpu
    CPU = "cpu"
    CUDA = "cuda"


def find_device(device: str | Device) -> Device:
    """Return the device of that name.

    Raises:
        EncoderError: no device has that name.
    """
    try:
        return Device(device)
    except ValueError:
        choices = ", ".join(choice.value for choice in Device)
        raise EncoderError(f"device: expected one of {choices}, got {device!r}") from None


def uses_gpu(device: Device) -> bool:
    """Tell whether a Transformer runs on a GPU if its backend is chosen automatically.

    torch, which takes seconds to import, is imported only if it is installed and a driver is there.

    Raises:
        EncoderError: `device` is CUDA, and torch finds no GPU.
        MissingExtraError: `device` is CUDA, and torch is not installed.
    """
    if device is Device.CPU:
        return False
    if device is Device.CUDA:
        require_extra("torch", extra="distill", feature="device cuda")
    elif find_spec("torch") is None or not any(path.exists() for path in DRIVER_FILES):
        return False
    try:
        from hpdsearch.encoder.torch_backend import torch_device
    except (ImportError, OSError) as error:  # a torch that was built for another driver or system
        if device is Device.CUDA:
            raise EncoderError(f"device cuda: torch cannot be imported: {error}; use the device cpu") from error
        logger.warning("torch cannot be imported (%s); the CPU is used", error)
        return False
    return torch_device(device) == "cuda"
