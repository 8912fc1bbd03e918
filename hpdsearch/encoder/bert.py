"""The tensors of a BERT-like Transformer with a linear head: their names, and the part of a BertModel that is kept.

The forward pass stands in `torch_backend`; the same graph in ONNX in `hpdsearch.distillation.export.onnx_graph`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from hpdsearch.common.vectors import Matrix
from hpdsearch.errors import ShapeError

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"  # (vocabulary, hidden)
POSITION_EMBEDDINGS = "embeddings.position_embeddings.weight"  # (positions, hidden)
TYPE_EMBEDDINGS = "embeddings.token_type_embeddings.weight"  # (types, hidden)
EMBEDDING_NORM = "embeddings.LayerNorm"
# (heads, 2 * positions - 1): added to the attention logits, at the distance key - query + positions - 1; MPNet has it.
RELATIVE_BIAS = "encoder.relative_attention_bias.weight"
HEAD = "head.weight"  # (dim, hidden)
HEAD_BIAS = "head.bias"  # (dim); distilled encoders have none
LINEAR_MAPS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
LAYER_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
N_SPECIAL_TOKENS = 2  # [CLS] before and [SEP] after every window


class Pooling(Enum):
    """The reduction of a window's token vectors to one vector: `pooling` in config.json, MEAN where it is missing."""

    MEAN = "mean"
    CLS = "cls"  # the vector of the first token


def count_layers(tensors: Mapping[str, Any]) -> int:
    """Return the number of Transformer layers."""
    return sum(name.endswith("attention.self.query.weight") for name in tensors)


def encoder_tensors(
    bert: Mapping[str, np.ndarray], head: np.ndarray, *, max_tokens: int, n_prompt: int = 0
) -> dict[str, Matrix]:
    """Select the tensors of an encoder from those of a BertModel, and add the head.

    Every text is one segment. The embedding of token type 0 is therefore added to the position embeddings, which are
    cut to the longest window. The pooler is left out.

    Args:
        bert: float tensors under the names of transformers' BertModel.state_dict(), or those of an encoder.
        head: float (dim, hidden).
        max_tokens: tokens of text in a window, special tokens not counted.
        n_prompt: tokens of the longest prompt before the text.

    Returns:
        The float32 tensors by name; position embeddings are (n_prompt + max_tokens + 2, hidden).

    Raises:
        ShapeError: there are too few position embeddings, or the head has another width.
    """
    n_positions = len(bert[POSITION_EMBEDDINGS])
    n_others = n_prompt + N_SPECIAL_TOKENS
    length = max_tokens + n_others
    if n_positions < length:
        raise ShapeError(
            f"max_tokens: expected at most {n_positions - n_others} ({POSITION_EMBEDDINGS} has {n_positions} "
            f"rows, {n_others} are for special tokens{' and prompt' if n_prompt else ''}), got {max_tokens}"
        )
    hidden = bert[WORD_EMBEDDINGS].shape[1]
    if head.ndim != 2 or head.shape[1] != hidden:
        raise ShapeError(f"head: expected shape (dim, {hidden}), got {head.shape}")
    # The tensors of an encoder have no type embeddings: its position embeddings include type 0 already.
    positions = bert[POSITION_EMBEDDINGS][:length] + (bert[TYPE_EMBEDDINGS][0] if TYPE_EMBEDDINGS in bert else 0)
    modules = [EMBEDDING_NORM]
    modules += [f"encoder.layer.{i}.{part}" for i in range(count_layers(bert)) for part in LINEAR_MAPS + LAYER_NORMS]
    kept = {f"{module}.{kind}": bert[f"{module}.{kind}"] for module in modules for kind in ("weight", "bias")}
    kept |= {WORD_EMBEDDINGS: bert[WORD_EMBEDDINGS], POSITION_EMBEDDINGS: positions, HEAD: head}
    if RELATIVE_BIAS in bert:
        center = bert[RELATIVE_BIAS].shape[1] // 2  # distance 0
        kept[RELATIVE_BIAS] = bert[RELATIVE_BIAS][:, center - length + 1 : center + length]
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in kept.items()}
