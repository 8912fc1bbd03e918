"""The runtimes of a teacher's Transformer: torch in float32 or bfloat16, or openvino. A measurement chooses one."""

import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.backend_choice import Trial, choose_backend
from hpdsearch.encoder.openvino_backend import CompiledModel
from hpdsearch.encoder.runtimes import import_openvino
from hpdsearch.errors import EncoderError

logger = logging.getLogger(__name__)

MIN_SPEEDUP = 1.3  # of bfloat16 over float32
AGREEMENT = 0.9995  # mean cosine to the vectors in float32
BFLOAT16_VARIABLE = "HPDSEARCH_BFLOAT16"

TokensAndMask = tuple[Tensor, Tensor]  # token ids and mask, int64 (n, tokens)


class Runtime(Enum):
    """A library and the precision of its matrix products. The vectors are float32."""

    FLOAT32 = "torch-float32"
    BFLOAT16 = "torch-bfloat16"
    OPENVINO = "openvino"  # bfloat16 where the processor has instructions for it, else float32


class TeacherTransformer:
    """The Transformer of a teacher and what runs it; may be called from several threads at once.

    Attributes:
        device: of torch.
        runtime: what runs it.
        model: the model of transformers.
    """

    def __init__(self, model: nn.Module, device: str, runtime: Runtime | None = None) -> None:
        """Move a model of transformers to the device.

        Args:
            model: in float32.
            device: of torch.
            runtime: None for the faster precision of torch, which `choose` may replace by openvino.
        """
        self.device = device
        self.runtime = runtime or Runtime(f"torch-{str(fastest_dtype(device)).removeprefix('torch.')}")
        self._may_choose = runtime is None and not os.environ.get(BFLOAT16_VARIABLE) and device == "cpu"
        self.model = model.to(device)
        self._compiled: CompiledModel | None = None

    def __call__(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the token vectors of the last layer, float32 (n, tokens, hidden).

        Args:
            tokens: token ids, int64 (n, tokens), on the device.
            mask: int64 (n, tokens), on the device, 1 for a token and 0 for padding.
        """
        return self._run(self.runtime, tokens, mask)

    def autocast(self, runtime: Runtime | None = None) -> AbstractContextManager[object]:
        """Return the context of torch's precision. It keeps the bfloat16 copies of the weights until it ends."""
        is_half = (runtime or self.runtime) is Runtime.BFLOAT16
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=is_half)

    def choose(
        self, teacher_sha256: str, batch: TokensAndMask, pool: Callable[[Tensor, Tensor], Matrix], *, threads: int
    ) -> None:
        """Take the fastest runtime here: once for each teacher, versions of the libraries and processor it is measured.

        Nothing is chosen if the runtime was given, by HPDSEARCH_BFLOAT16 too, on a GPU, or without openvino, which
        takes several seconds to convert and compile the model. A runtime must agree with torch in float32.

        Args:
            teacher_sha256: the teacher's checksum.
            batch: to measure, see `__call__`.
            pool: token vectors and mask -> unit vectors (n, dim).
            threads: calls of openvino that will run at once.
        """
        if not self._may_choose or find_spec("openvino") is None:
            return
        self._may_choose = False

        def open_session(runtime: Runtime) -> Callable[[TokensAndMask], Matrix]:
            if runtime is Runtime.OPENVINO:
                self._compiled = self._compiled or compile_with_openvino(self.model, threads)

            def run(batch: TokensAndMask) -> Matrix:
                with torch.inference_mode(), self.autocast(runtime):
                    return pool(self._run(runtime, *batch), batch[1])

            return run

        openers = {runtime.value: lambda runtime=runtime: open_session(runtime) for runtime in Runtime}
        trial = Trial([batch], agreement=AGREEMENT, rounds=3)
        with self.autocast(Runtime.BFLOAT16):  # without it, each call would copy the weights
            self.runtime = Runtime(choose_backend(openers, teacher_sha256, trial))
        if self.runtime is Runtime.OPENVINO:
            open_session(self.runtime)
        else:
            self._compiled = None

    def _run(self, runtime: Runtime, tokens: Tensor, mask: Tensor) -> Tensor:
        if runtime is Runtime.OPENVINO:
            assert self._compiled is not None
            return torch.from_numpy(self._compiled(tokens.numpy(), mask.numpy()))
        hidden: Tensor = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return hidden.float()


class _LastHiddenState(nn.Module):
    """A model of transformers with one output, as openvino converts it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the token vectors of the last layer."""
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


def compile_with_openvino(model: nn.Module, threads: int) -> CompiledModel:
    """Convert a model of transformers in memory and compile it.

    Args:
        model: on the CPU, in float32; left unchanged.
        threads: calls that run at once, one core each.

    Raises:
        EncoderError: openvino cannot convert or compile it.
    """
    openvino = import_openvino()
    example = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    try:
        # A surrounding autocast would become part of the converted model.
        with warnings.catch_warnings(), torch.no_grad(), torch.autocast("cpu", enabled=False):
            warnings.simplefilter("ignore")  # tracing warns of every Python value that it takes as a constant
            converted = openvino.convert_model(_LastHiddenState(model), example_input=example)
    except Exception as error:  # torch and openvino raise many types for models that cannot be traced
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"openvino {openvino.__version__} cannot convert the teacher: {reason}") from error
    return CompiledModel(converted, threads)


@cache
def fastest_dtype(device: str) -> torch.dtype:
    """Return bfloat16 if it speeds up matrix products of a teacher's size by at least 1.3 on the device, else float32.

    The environment variable HPDSEARCH_BFLOAT16 overrides the measurement: 1 for bfloat16, 0 for float32. The
    measurement takes half a second. Many processors that support bfloat16 compute more slowly in it.

    Raises:
        EncoderError: HPDSEARCH_BFLOAT16 is neither 0 nor 1.
    """
    forced = os.environ.get(BFLOAT16_VARIABLE, "")
    if forced not in ("", "0", "1"):
        raise EncoderError(f"{BFLOAT16_VARIABLE}: expected 0 or 1, got {forced!r}")
    if forced:
        return torch.bfloat16 if forced == "1" else torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        tokens, weight = (torch.ones(rows, 768, device=device, dtype=dtype) for rows in (256, 3072))
        seconds[dtype] = min(_seconds(tokens, weight) for _ in range(4))  # the first is a warm-up
    return torch.bfloat16 if seconds[torch.float32] > MIN_SPEEDUP * seconds[torch.bfloat16] else torch.float32


def _seconds(tokens: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.perf_counter()
    functional.linear(tokens, weight)[0, 0].item()  # waits for a GPU
    return time.perf_counter() - start
