"""The encoder's model in torch, for machines with a GPU: the same weights, the same arithmetic as model.onnx."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder.folder import CONFIG, WEIGHTS
from hpdsearch.encoder.weights import load_weights

TOKEN_BUDGET = {"cpu": 1024, "cuda": 65536, "mps": 16384}


class TorchModel:
    """Runs model.safetensors on a GPU if there is one; may be called from several threads at once."""

    threads = 1  # torch spreads each batch over its own threads

    def __init__(self, folder: Path) -> None:
        self.device = best_device()
        self.token_budget = TOKEN_BUDGET[self.device]
        config = json.loads((folder / CONFIG).read_bytes())
        self.n_layers: int = config["num_hidden_layers"]
        self.n_heads: int = config["num_attention_heads"]
        self.epsilon: float = config["layer_norm_eps"]
        tensors = load_weights(folder / WEIGHTS)
        self.weights = {name: torch.from_numpy(tensor).to(self.device) for name, tensor in tensors.items()}

    def __call__(self, ids: npt.NDArray[np.int64]) -> Matrix:
        """Return the unit vectors (n, dim) of windows of equal length, ids (n, tokens)."""
        with torch.inference_mode():
            vectors: Matrix = self.forward(torch.from_numpy(ids).to(self.device)).cpu().numpy()
        return vectors

    def forward(self, ids: Tensor) -> Tensor:
        """Return the unit vectors (n, dim) of ids (n, tokens)."""
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        positions = self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(words + positions, "embeddings.LayerNorm")  # (n, tokens, hidden)
        for number in range(self.n_layers):
            layer = f"encoder.layer.{number}"
            x = self.norm(x + self.attention(x, layer), f"{layer}.attention.output.LayerNorm")
            inner = functional.gelu(self.linear(x, f"{layer}.intermediate.dense"))
            x = self.norm(x + self.linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return functional.normalize(self.linear(x.mean(dim=1), "head"))

    def attention(self, x: Tensor, layer: str) -> Tensor:
        """Return the attention output of one layer, (n, tokens, hidden) like x; no mask, for nothing is padded."""
        query, key, value = (
            self.linear(x, f"{layer}.attention.self.{part}").view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )  # each (n, heads, tokens, head_dim)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.linear(mixed.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")

    def linear(self, x: Tensor, name: str) -> Tensor:
        """Apply the linear map of that name to the last axis of x."""
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Apply the layer normalisation of that name to the last axis of x."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, self.epsilon)


def best_device() -> str:
    """Return the torch device to encode on."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
