"""Which code runs a model: a static table in numpy, a Transformer in onnxruntime, openvino or torch."""

import os
from collections.abc import Sequence
from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from hpdsearch.common.progress import Bar
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.folder import EncoderCard, EncoderType
from hpdsearch.encoder.tokens import TextTokenizer
from hpdsearch.encoder.transformer import Runner, TransformerModel
from hpdsearch.errors import EncoderError

BACKEND_VARIABLE = "HPDSEARCH_BACKEND"  # what auto means, for who wants it measured never


class Backend(Enum):
    """What runs a Transformer; a static encoder needs none of them."""

    AUTO = "auto"
    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH = "torch"


class Model(Protocol):
    """Token ids of whole texts, without special tokens, to one unit vector a text (n, dim); bar counts the texts."""

    def __call__(self, tokens: Sequence[list[int]], bar: Bar, /) -> Matrix:
        """Return the unit vectors."""


def find_backend(backend: str | Backend) -> Backend:
    """Return the backend of that name.

    Raises:
        EncoderError: there is none.
    """
    try:
        return Backend(backend)
    except ValueError:
        choices = ", ".join(choice.value for choice in Backend)
        raise EncoderError(f"backend: expected one of {choices}, got {backend!r}") from None


def open_model(
    folder: Path,
    card: EncoderCard,
    kind: EncoderType,
    backend: Backend,
    tokenizer: TextTokenizer,
    *,
    sha256: str,
    threads: int,
) -> Model:
    """Load the model of a verified folder; sha256 is the encoder's.

    Raises:
        EncoderError: the backend cannot load it.
        MissingExtraError: the backend is not installed.
    """
    if kind is EncoderType.STATIC:
        from hpdsearch.encoder.static_backend import StaticModel

        return StaticModel(folder)
    around = tokenizer.special_ids()
    if backend is Backend.AUTO:
        backend = _fastest(folder, sha256, longest=card.max_tokens + len(around))
    runner = open_runner(folder, backend, threads=threads)
    return TransformerModel(runner, dim=card.dim, max_tokens=card.max_tokens, around=around)


def _fastest(folder: Path, sha256: str, *, longest: int) -> Backend:
    if chosen := os.environ.get(BACKEND_VARIABLE):
        return find_backend(chosen)
    if find_spec("openvino") is None:  # nothing is imported or read to find that there is nothing to choose
        return Backend.ONNX
    from hpdsearch.encoder.fastest import fastest

    choices = (Backend.ONNX, Backend.OPENVINO)
    openers = {choice.value: partial(open_runner, folder, choice) for choice in choices}
    return Backend(fastest(openers, sha256, longest=longest))


def open_runner(folder: Path, backend: Backend, *, threads: int = 1) -> Runner:
    """Load a Transformer."""
    if backend is Backend.OPENVINO:
        from hpdsearch.encoder.openvino_backend import OpenVinoModel

        return OpenVinoModel(folder, threads=threads)
    if backend is Backend.TORCH:
        from hpdsearch.encoder.torch_backend import TorchModel

        return TorchModel(folder)
    from hpdsearch.encoder.onnx_backend import OnnxModel

    return OnnxModel(folder, threads=threads)
