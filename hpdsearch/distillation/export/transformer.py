"""The encoder folder of a Transformer: model.safetensors holds the weights, model.onnx refers to them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpdsearch.distillation.export.calibration import measure_peaks
from hpdsearch.distillation.export.int8_graph import onnx_int8_model
from hpdsearch.distillation.export.onnx_graph import onnx_model
from hpdsearch.distillation.export.quantize import quantize
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder.bert import (
    HEAD,
    HEAD_BIAS,
    RELATIVE_BIAS,
    WORD_EMBEDDINGS,
    Pooling,
    count_layers,
    encoder_tensors,
)
from hpdsearch.encoder.folder import CONFIG, INT8_MODEL, MODEL, TOKENIZER, WEIGHTS, EncoderType, write_encoder
from hpdsearch.errors import ShapeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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
    int8_graph: bool = True,
    pooling: Pooling = Pooling.MEAN,
    head_bias: np.ndarray | None = None,
    n_prompt: int = 0,
    query_prompt: str = "",
    document_prompt: str = "",
) -> Path:
    """Write the encoder folder of a Transformer with pooling, a linear head and unit-length output.

    Args:
        folder: created if missing; the files of an encoder in it are replaced.
        name: of the encoder.
        space: id of the space that the encoder was trained into.
        bert: float weights under the names of transformers' BertModel.state_dict(). The number of layers is read from
            the names, and the pooler is ignored. The activation is the exact GELU. RELATIVE_BIAS may be among them.
        head: (dim, hidden), applied to the pooled token vectors of the last layer.
        n_heads: attention heads per layer.
        tokenizer: it adds one special token before and one after a text.
        max_tokens: tokens of text in a window, without special tokens.
        layer_norm_eps: epsilon of every layer normalization.
        precision: storage type of the word embeddings and of the layers' matrices.
        int8_graph: whether an encoder with int8 weights has model.int8.onnx too.
        pooling: of the token vectors.
        head_bias: (dim), added after the head; None for none.
        n_prompt: tokens of the longer prompt.
        query_prompt: set before every query.
        document_prompt: set before every passage.

    Returns:
        The folder. Equal arguments give equal bytes.

    Raises:
        ShapeError: the shapes of head, position embeddings or word embeddings do not fit.
    """
    from safetensors.numpy import save

    tensors = encoder_tensors(bert, head, max_tokens=max_tokens, n_prompt=n_prompt)
    if head_bias is not None:
        tensors[HEAD_BIAS] = np.ascontiguousarray(head_bias, dtype=np.float32)
    n_layers = count_layers(tensors)
    n_tokens, hidden = tensors[WORD_EMBEDDINGS].shape
    vocabulary_size = tokenizer.get_vocab_size()
    if n_tokens < vocabulary_size:
        raise ShapeError(
            f"{WORD_EMBEDDINGS}: expected at least {vocabulary_size} rows for the tokenizer, got {n_tokens}"
        )
    if hidden % n_heads:
        raise ShapeError(f"n_heads: expected a divisor of {hidden} (hidden), got {n_heads}")
    if precision is Precision.INT8:
        tensors = quantize(tensors)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = {
        "model_type": EncoderType.BERT.value,
        "vocab_size": len(tensors[WORD_EMBEDDINGS]),
        "hidden_size": hidden,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "hidden_act": "gelu",
        "layer_norm_eps": layer_norm_eps,
    }
    if pooling is not Pooling.MEAN:
        config["pooling"] = pooling.value
    stored = save(tensors)
    contents = {
        WEIGHTS: stored,
        **_build_graphs(stored, config, max_tokens=max_tokens, int8_graph=int8_graph and precision is Precision.INT8),
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        TOKENIZER: tokenizer.to_str().encode(),
    }
    return write_encoder(
        folder,
        contents,
        name=name,
        dim=len(tensors[HEAD]),
        max_tokens=max_tokens,
        space=space,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        needs_format_2=pooling is not Pooling.MEAN or bool({HEAD_BIAS, RELATIVE_BIAS} & tensors.keys()),
    )


def _build_graphs(stored: bytes, config: Mapping[str, Any], *, max_tokens: int, int8_graph: bool) -> dict[str, bytes]:
    """Return the graphs of an encoder by file name: that of float32, and that of int8 if it is wanted."""
    settings = {
        "n_layers": config["num_hidden_layers"],
        "n_heads": config["num_attention_heads"],
        "epsilon": config["layer_norm_eps"],
        "pooling": Pooling(config.get("pooling", Pooling.MEAN.value)),
    }
    model = onnx_model(stored, **settings)
    if not int8_graph:
        return {MODEL: model}
    peaks = measure_peaks(model, stored, n_tokens=config["vocab_size"], longest=max_tokens + 2)
    return {MODEL: model, INT8_MODEL: onnx_int8_model(stored, **settings, peaks=peaks)}
