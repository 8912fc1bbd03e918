"""A Transformer encoder in torch, for machines with a GPU, and the forward pass that training uses as well.

In float32, the arithmetic is that of model.onnx on the same weights.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.bert import (
    EMBEDDING_NORM,
    HEAD,
    HEAD_BIAS,
    POSITION_EMBEDDINGS,
    RELATIVE_BIAS,
    WORD_EMBEDDINGS,
    Pooling,
)
from hpdsearch.encoder.device import Device
from hpdsearch.encoder.folder import CONFIG, WEIGHTS
from hpdsearch.encoder.weights import load_weights
from hpdsearch.errors import EncoderError

TOKEN_BUDGET = {"cpu": 1024, "cuda": 65536, "mps": 16384}  # a GPU needs large batches to be busy


# Held while torch runs and while the process forks: a child would wait for a lock of oneDNN that another thread held.
# torch uses all cores for one call, so calls at the same time would gain little.
_running = threading.RLock()


def _make_lock() -> None:
    global _running
    _running = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _running.acquire(), after_in_parent=lambda: _running.release(), after_in_child=_make_lock
    )


class TorchSession:
    """Runs model.safetensors; may be called from several threads at once.

    Attributes:
        device: of torch: "cpu", "cuda" or "mps".
    """

    threads = 1  # torch spreads each batch over its own threads

    def __init__(self, folder: Path, device: Device = Device.AUTO, *, is_half: bool = False) -> None:
        """Load the weights.

        Args:
            folder: the encoder folder.
            device: see `torch_device`.
            is_half: compute the layers in bfloat16. The mean over the tokens and the head stay in float32.
        """
        self._process = os.getpid()
        self.device = torch_device(device)
        self.token_budget = TOKEN_BUDGET[self.device]
        config = parse_json((folder / CONFIG).read_bytes())
        tensors = load_weights(folder / WEIGHTS)
        dtype = torch.bfloat16 if is_half else torch.float32
        self._head = torch.from_numpy(tensors[HEAD]).to(self.device)
        self._head_bias = torch.from_numpy(tensors[HEAD_BIAS]).to(self.device) if HEAD_BIAS in tensors else None
        self._bert = TorchBert(
            {name: torch.from_numpy(tensor).to(self.device, dtype) for name, tensor in tensors.items()},
            n_layers=config["num_hidden_layers"],
            n_heads=config["num_attention_heads"],
            epsilon=config["layer_norm_eps"],
            pooling=Pooling(config.get("pooling", Pooling.MEAN.value)),
        )

    def __call__(self, ids: npt.NDArray[np.int64]) -> Matrix:
        """Return the unit vectors float32 (n, dim) of windows of equal length, ids (n, tokens).

        Raises:
            EncoderError: the weights are on a GPU, and a parent of this process put them there before the fork.
        """
        if self.device != "cpu" and os.getpid() != self._process:
            raise EncoderError(
                f"backend torch: a process made by fork cannot use the parent's GPU ({self.device}); start it by spawn "
                'or forkserver, or load the encoder with device="cpu"'
            )
        with _running, torch.inference_mode():
            pooled = self._bert.pool(torch.from_numpy(ids).to(self.device))
            rows = functional.normalize(functional.linear(pooled, self._head, self._head_bias))
            vectors: Matrix = rows.cpu().numpy()
        return vectors


@dataclass(frozen=True)
class TorchBert:
    """The layers of BERT (Devlin et al. 2019, arXiv:1810.04805) up to the pooled vector of each window.

    Attributes:
        tensors: float32 or bfloat16, under the names of `hpdsearch.encoder.bert`; read at every call.
        n_layers: number of Transformer layers.
        n_heads: attention heads per layer.
        epsilon: of the layer normalizations.
        pooling: of the token vectors.
    """

    tensors: Mapping[str, Tensor]
    n_layers: int
    n_heads: int
    epsilon: float
    pooling: Pooling = Pooling.MEAN

    def pool(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the pooled token vectors of the last layer, float32 (n, hidden).

        Args:
            ids: token ids, int64 (n, tokens), special tokens included.
            mask: float32 (n, tokens), 1 for a token and 0 for padding; None if nothing is padded.
        """
        words = functional.embedding(ids, self.tensors[WORD_EMBEDDINGS])
        positions = self.tensors[POSITION_EMBEDDINGS][: ids.shape[1]]
        x = self._norm(words + positions, EMBEDDING_NORM)  # (n, tokens, hidden)
        bias = None if mask is None else (1 - mask)[:, None, None, :] * torch.finfo(x.dtype).min
        if RELATIVE_BIAS in self.tensors:
            relative = self._relative_bias(ids.shape[1])
            bias = relative if bias is None else bias + relative
        for number in range(self.n_layers):
            layer = f"encoder.layer.{number}"
            x = self._norm(x + self._attend(x, bias, layer), f"{layer}.attention.output.LayerNorm")
            inner = functional.gelu(self._linear(x, f"{layer}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        if self.pooling is Pooling.CLS:
            return x[:, 0].float()
        if mask is None:
            return x.mean(dim=1, dtype=torch.float32)
        return (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def _attend(self, x: Tensor, bias: Tensor | None, layer: str) -> Tensor:
        """Return the attention output of one layer, (n, tokens, hidden) like x.

        Args:
            x: token vectors (n, tokens, hidden).
            bias: added to the attention logits (n, heads, tokens, tokens), of a shape that broadcasts; None for none.
            layer: name of the layer.
        """
        query, key, value = (
            self._linear(x, f"{layer}.attention.self.{part}").view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )  # each (n, heads, tokens, head_dim)
        if bias is None:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:  # an explicit softmax trains faster than scaled_dot_product_attention with a mask
            weights = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5 + bias
            mixed = weights.softmax(dim=3) @ value
        return self._linear(mixed.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")

    def _relative_bias(self, n_tokens: int) -> Tensor:
        """Return what MPNet adds to the attention logits, (heads, tokens, tokens), by the distance of the tokens."""
        table = self.tensors[RELATIVE_BIAS]
        positions = torch.arange(n_tokens, device=table.device)
        return table[:, positions[None, :] - positions[:, None] + table.shape[1] // 2]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        return functional.layer_norm(x, weight.shape, weight, self.tensors[f"{name}.bias"], self.epsilon)


def torch_device(device: Device = Device.AUTO) -> str:
    """Return the name of torch's device; AUTO: cuda, mps or cpu, the first that is there.

    Raises:
        EncoderError: CUDA is wanted, and torch finds no GPU.
    """
    if device is Device.CPU:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if device is Device.CUDA:
        is_for_cpus = torch.version.cuda is None and getattr(torch.version, "hip", None) is None
        advice = "install a build of torch for your GPU" if is_for_cpus else "check the driver (nvidia-smi)"
        raise EncoderError(
            f"device cuda: expected a GPU that torch {torch.__version__} can use, found none; {advice}, or use the "
            "device cpu"
        )
    return "mps" if torch.backends.mps.is_available() else "cpu"
