"""Trained weights to the folder of a Transformer: the weights once, and a model.onnx that points into them."""

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.export.onnx_graph import HEAD, POSITIONS, WORDS, onnx_model
from hpdsearch.encoder.folder import CONFIG, MODEL, TOKENIZER, WEIGHTS, EncoderType, write_encoder
from hpdsearch.encoder.weights import SCALE
from hpdsearch.errors import ShapeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = 2  # around every window
TYPES = "embeddings.token_type_embeddings.weight"
DENSE = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


class Precision(Enum):
    """How the large matrices are stored; the arithmetic is float32 either way."""

    FLOAT32 = "float32"
    INT8 = "int8"


def export_encoder(
    folder: Path,
    *,
    name: str,
    space: str,
    bert: Mapping[str, np.ndarray],
    head: np.ndarray,
    n_heads: int,
    tokenizer: "Tokenizer",
    max_tokens: int = 256,
    layer_norm_eps: float = 1e-12,
    precision: Precision = Precision.INT8,
) -> Path:
    """Write an encoder folder: Transformer, mean over the tokens, linear head, scaling to length 1.

    Args:
        folder: made if it is not there; files of an encoder in it are replaced.
        name: the encoder's name.
        space: id of the space that the encoder was trained into.
        bert: float weights under the names of transformers' BertModel.state_dict(); the number of layers is read from
            the names, the pooler is left out. The activation is the exact GELU.
        head: (dim, hidden), applied to the mean of the last layer's token vectors.
        n_heads: attention heads a layer.
        tokenizer: sets one special token before and one after a text.
        max_tokens: tokens of text, without the special tokens, in a window.
        layer_norm_eps: epsilon of every layer normalisation.
        precision: how the word table and the layers' matrices are stored.

    Returns:
        The folder. Equal arguments give equal bytes.

    Raises:
        ShapeError: head, position table or word table do not fit.
    """
    from safetensors.numpy import save

    tensors = encoder_tensors(bert, head, max_tokens=max_tokens)
    n_layers, hidden, n_words = count_layers(tensors), tensors[WORDS].shape[1], tokenizer.get_vocab_size()
    if len(tensors[WORDS]) < n_words:
        raise ShapeError(f"{WORDS}: expected at least {n_words} rows for the tokenizer, got {len(tensors[WORDS])}")
    if hidden % n_heads:
        raise ShapeError(f"n_heads: expected a divisor of {hidden} (hidden), got {n_heads}")
    if precision is Precision.INT8:
        tensors = quantized(tensors)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = {
        "model_type": EncoderType.BERT.value,
        "vocab_size": len(tensors[WORDS]),
        "hidden_size": hidden,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "hidden_act": "gelu",
        "layer_norm_eps": layer_norm_eps,
    }
    stored = save(tensors)
    contents = {
        WEIGHTS: stored,
        MODEL: onnx_model(stored, n_layers=n_layers, n_heads=n_heads, epsilon=layer_norm_eps),
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        TOKENIZER: tokenizer.to_str().encode(),
    }
    return write_encoder(folder, contents, name=name, dim=len(tensors[HEAD]), max_tokens=max_tokens, space=space)


def encoder_tensors(bert: Mapping[str, np.ndarray], head: np.ndarray, *, max_tokens: int) -> dict[str, np.ndarray]:
    """Return what the encoder keeps of a BertModel's weights, float32, and its head.

    Every text is one segment, so the vector of token type 0 is added to the position table, cut to the longest window.
    """
    length = max_tokens + SPECIAL_TOKENS
    if len(bert[POSITIONS]) < length:
        raise ShapeError(
            f"max_tokens: expected at most {len(bert[POSITIONS]) - SPECIAL_TOKENS} "
            f"({POSITIONS} has {len(bert[POSITIONS])} rows, {SPECIAL_TOKENS} go to special tokens), got {max_tokens}"
        )
    hidden = bert[WORDS].shape[1]
    if head.ndim != 2 or head.shape[1] != hidden:
        raise ShapeError(f"head: expected shape (dim, {hidden}), got {head.shape}")
    # In what was an encoder before, token type 0 is in the position table already.
    positions = bert[POSITIONS][:length] + (bert[TYPES][0] if TYPES in bert else 0)
    linear_names = [f"encoder.layer.{number}.{part}" for number in range(count_layers(bert)) for part in DENSE + NORMS]
    kept = {
        f"{part}.{kind}": bert[f"{part}.{kind}"]
        for part in ["embeddings.LayerNorm", *linear_names]
        for kind in ("weight", "bias")
    }
    kept |= {WORDS: bert[WORDS], POSITIONS: positions, HEAD: head}
    return {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in kept.items()}


def count_layers(tensors: Mapping[str, Any]) -> int:
    """Return the number of Transformer layers."""
    return sum(key.endswith("attention.self.query.weight") for key in tensors)


def quantized(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors with word table and layer matrices as int8 rows, one float32 scale (rows, 1) each."""
    result = dict(tensors)
    for name, tensor in tensors.items():
        is_dense = name.startswith("encoder.layer.") and tensor.ndim == 2
        if is_dense or name == WORDS:
            result[name], result[name + SCALE] = quantize_rows(tensor)
    return result


def quantize_rows(matrix: np.ndarray) -> tuple[np.ndarray, Matrix]:
    """Return int8 (rows, columns) in -127..127 and float32 scales (rows, 1) with matrix ~ int8 * scales."""
    peaks = np.abs(matrix).max(axis=1, keepdims=True)
    scales = np.where(peaks == 0, 1, peaks / 127).astype(np.float32)
    return np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8), scales
