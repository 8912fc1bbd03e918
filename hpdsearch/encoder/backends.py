"""The code that runs a model: a static table in numpy, a Transformer in onnxruntime, openvino or torch."""

import os
from collections.abc import Sequence
from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from hpdsearch.common.files import parse_json
from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.device import Device, uses_gpu
from hpdsearch.encoder.folder import CONFIG, INT8_MODEL, MODEL, EncoderCard, EncoderType
from hpdsearch.encoder.tokens import TextTokenizer
from hpdsearch.encoder.transformer import BackendSession, TransformerModel
from hpdsearch.errors import EncoderError, require_extra

BACKEND_VARIABLE = "HPDSEARCH_BACKEND"  # overrides the automatic choice


class Backend(Enum):
    """The library that runs a Transformer; a static encoder needs none."""

    AUTO = "auto"  # torch-bfloat16 on a GPU, else the fastest of onnx, onnx-int8 and openvino
    QUICK = "quick"  # the faster one of onnx and onnx-int8: the others take longer to load
    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"
    OPENVINO = "openvino"
    TORCH = "torch"
    TORCH_BFLOAT16 = "torch-bfloat16"

    @property
    def needs_torch(self) -> bool:
        """Whether torch runs it, which is the only library that uses a GPU."""
        return self in (Backend.TORCH, Backend.TORCH_BFLOAT16)


class TextModel(Protocol):
    """A model that encodes tokenized texts of any length.

    Attributes:
        backend: what runs it: "numpy" or the value of a Backend.
        device: where it runs: "cpu", or torch's name of a GPU.
    """

    backend: str
    device: str

    def __call__(self, tokens: Sequence[list[int]], bar: Bar, n_prompt: int = 0, /) -> Matrix:
        """Return the unit vectors float32 (n, dim) of n texts.

        The tokens of a text exclude special tokens; the first n_prompt are those of the prompt. bar counts the texts.
        """


def find_backend(backend: str | Backend, *, source: str = "backend") -> Backend:
    """Return the backend of that name; an error names its source.

    Raises:
        EncoderError: no backend has that name.
    """
    try:
        return Backend(backend)
    except ValueError:
        choices = ", ".join(choice.value for choice in Backend)
        raise EncoderError(f"{source}: expected one of {choices}, got {backend!r}") from None


def open_model(
    folder: Path,
    card: EncoderCard,
    kind: EncoderType,
    backend: Backend,
    tokenizer: TextTokenizer,
    *,
    device: Device,
    sha256: str,
    threads: int,
) -> TextModel:
    """Load the model of a verified encoder folder.

    Args:
        folder: the encoder folder.
        card: its encoder.json.
        kind: static encoders ignore `backend`, `device` and `threads`.
        backend: runs a Transformer.
        tokenizer: defines the special tokens.
        device: runs a Transformer.
        sha256: the encoder's checksum, the key of a remembered backend choice.
        threads: cores to use.

    Raises:
        EncoderError: the backend cannot load the model, does not run on the device, or there is no such device.
        MissingExtraError: the backend is not installed.
    """
    if kind is EncoderType.STATIC:
        from hpdsearch.encoder.static_backend import StaticModel

        return StaticModel(folder)
    special_tokens = tokenizer.special_tokens()
    # torch cannot run an exported graph, so a GPU is not an automatic choice for it.
    has_weights = kind is EncoderType.BERT
    backend = choose_for_device(backend, device if has_weights or device is Device.CUDA else Device.CPU)
    if backend.needs_torch and not has_weights:
        raise EncoderError(
            f"{folder}: is an exported graph, which {backend.value} cannot run; use the backend onnx or openvino on "
            "the device cpu"
        )
    if backend in (Backend.AUTO, Backend.QUICK):
        backend = _measure(backend, folder, card, sha256, longest=card.max_tokens + sum(map(len, special_tokens)))
    session = open_session(folder, backend, device=device, threads=threads)
    return TransformerModel(
        session,
        backend=backend.value,
        dim=card.dim,
        max_tokens=card.max_tokens,
        special_tokens=special_tokens,
        pad_id=parse_json((folder / CONFIG).read_bytes()).get("pad_token_id") or 0,
    )


def choose_for_device(backend: Backend, device: Device) -> Backend:
    """Return the backend of the environment variable instead of an automatic one, and torch-bfloat16 for a GPU.

    Raises:
        EncoderError: the backend does not run on the device, the device is not there, or the variable is wrong.
        MissingExtraError: the device is CUDA, and torch is not installed.
    """
    source = "backend"
    if backend in (Backend.AUTO, Backend.QUICK) and (chosen := os.environ.get(BACKEND_VARIABLE)):
        source = BACKEND_VARIABLE
        backend = find_backend(chosen, source=source)
    if backend is Backend.AUTO and uses_gpu(device):
        return Backend.TORCH_BFLOAT16
    if device is Device.CUDA and not backend.needs_torch:
        expected = f"auto, {Backend.TORCH.value} or {Backend.TORCH_BFLOAT16.value}"
        raise EncoderError(f"{source}: expected {expected} for the device cuda, got {backend.value}")
    return backend


def _measure(backend: Backend, folder: Path, card: EncoderCard, sha256: str, *, longest: int) -> Backend:
    candidates = [Backend.ONNX]
    if INT8_MODEL in card.sha256:
        candidates.append(Backend.ONNX_INT8)
    if backend is Backend.AUTO and find_spec("openvino") is not None:
        candidates.append(Backend.OPENVINO)
    if len(candidates) == 1:  # nothing has to be imported, read or measured
        return Backend.ONNX
    from hpdsearch.encoder.backend_choice import choose_backend, encoder_trial

    openers = {candidate.value: partial(open_session, folder, candidate) for candidate in candidates}
    return Backend(choose_backend(openers, sha256, encoder_trial(longest)))


def open_session(folder: Path, backend: Backend, *, device: Device = Device.CPU, threads: int = 1) -> BackendSession:
    """Load the Transformer of an encoder folder into a backend; only torch looks at the device.

    Raises:
        EncoderError: the backend cannot load the model.
        MissingExtraError: the backend is not installed.
    """
    if backend is Backend.OPENVINO:
        from hpdsearch.encoder.openvino_backend import OpenVinoSession

        return OpenVinoSession(folder, threads=threads)
    if backend.needs_torch:
        require_extra("torch", extra="distill", feature=f"backend {backend.value}")
        from hpdsearch.encoder.torch_backend import TorchSession

        return TorchSession(folder, device, is_half=backend is Backend.TORCH_BFLOAT16)
    from hpdsearch.encoder.onnx_backend import OnnxSession

    if backend is Backend.ONNX_INT8 and not (folder / INT8_MODEL).is_file():
        raise EncoderError(f"{folder}: it has no {INT8_MODEL}; use the backend onnx, or distill the encoder again")
    return OnnxSession(folder / (INT8_MODEL if backend is Backend.ONNX_INT8 else MODEL), threads=threads)
