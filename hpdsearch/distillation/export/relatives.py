"""The relatives of BERT, whose weights are stored under BERT's names: the export of distilled encoders represents them.

RoBERTa, XLM-RoBERTa and CamemBERT count positions from the padding token; MPNet also adds a bias by the distance of two
tokens to the attention; DistilBERT has other names and no token types.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hpdsearch.common.vectors import Matrix, Scores
from hpdsearch.distillation.teacher.folder import POOLER, Normalize, PoolingMode, TeacherFolder
from hpdsearch.encoder.bert import (
    EMBEDDING_NORM,
    LAYER_NORMS,
    LINEAR_MAPS,
    POSITION_EMBEDDINGS,
    RELATIVE_BIAS,
    TYPE_EMBEDDINGS,
    WORD_EMBEDDINGS,
    Pooling,
    count_layers,
)

POOLINGS = {PoolingMode.MEAN: Pooling.MEAN, PoolingMode.CLS: Pooling.CLS}
SAME_NAMES: tuple[tuple[str, str], ...] = ()
# Patterns of the names of tensors and their replacements.
RENAMED = {
    "bert": SAME_NAMES,
    "roberta": SAME_NAMES,
    "xlm-roberta": SAME_NAMES,
    "camembert": SAME_NAMES,
    "mpnet": (
        (r"\.attention\.attn\.q\.", ".attention.self.query."),
        (r"\.attention\.attn\.k\.", ".attention.self.key."),
        (r"\.attention\.attn\.v\.", ".attention.self.value."),
        (r"\.attention\.attn\.o\.", ".attention.output.dense."),
        (r"\.attention\.LayerNorm\.", ".attention.output.LayerNorm."),
    ),
    "distilbert": (
        (r"^transformer\.", "encoder."),
        (r"\.attention\.q_lin\.", ".attention.self.query."),
        (r"\.attention\.k_lin\.", ".attention.self.key."),
        (r"\.attention\.v_lin\.", ".attention.self.value."),
        (r"\.attention\.out_lin\.", ".attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
    ),
}


@dataclass(frozen=True)
class BertBody:
    """A model in the form of `export_encoder`.

    Attributes:
        tensors: under the names of BertModel.state_dict(), positions from that of the first token.
        n_heads: attention heads per layer.
        epsilon: of the layer normalizations.
        pooling: of the token vectors.
        head: (dim, hidden).
        head_bias: (dim); None for none.
    """

    tensors: dict[str, Matrix]
    n_heads: int
    epsilon: float
    pooling: Pooling
    head: Matrix
    head_bias: Scores | None

    def project(self, components: Matrix) -> "BertBody":
        """Return the model with a projection (dim, teacher_dim) behind its head."""
        bias = None if self.head_bias is None else components @ self.head_bias
        return replace(self, head=components @ self.head, head_bias=bias)


def read_body(model: nn.Module, parts: TeacherFolder) -> BertBody | None:
    """Return a model in the form of BERT; None if its architecture, pooling or head cannot be represented so."""
    config: Any = model.config
    kind = config.model_type
    activation = getattr(config, "activation" if kind == "distilbert" else "hidden_act", None)
    is_absolute = getattr(config, "position_embedding_type", None) in (None, "absolute")
    if kind not in RENAMED or activation != "gelu" or getattr(config, "is_decoder", False) or not is_absolute:
        return None
    head = _join_head(parts.head, config.hidden_size)
    if len(parts.pooling) != 1 or parts.pooling[0] not in POOLINGS or head is None:
        return None
    tensors = {
        _rename(name, RENAMED[kind]): tensor.float().cpu().numpy()
        for name, tensor in model.state_dict().items()
        if not name.startswith(POOLER)
    }
    embeddings: Any = model.embeddings
    padding = getattr(embeddings.position_embeddings, "padding_idx", None)
    if padding is not None:
        tensors[POSITION_EMBEDDINGS] = tensors[POSITION_EMBEDDINGS][padding + 1 :]
    if (buckets := tensors.pop(RELATIVE_BIAS, None)) is not None:
        tensors[RELATIVE_BIAS] = _tabulate_bias(model, buckets, n_positions=len(tensors[POSITION_EMBEDDINGS]))
    if set(tensors) - {TYPE_EMBEDDINGS, RELATIVE_BIAS} != set(_expected_names(count_layers(tensors))):
        return None  # a variant with more or fewer parts
    return BertBody(
        tensors=tensors,
        n_heads=config.num_attention_heads,
        epsilon=getattr(config, "layer_norm_eps", 1e-12),  # DistilBERT has no setting
        pooling=POOLINGS[parts.pooling[0]],
        head=head[0],
        head_bias=head[1],
    )


def _rename(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in pairs:
        name = re.sub(pattern, replacement, name)
    return name


def _expected_names(n_layers: int) -> list[str]:
    modules = [EMBEDDING_NORM]
    modules += [f"encoder.layer.{i}.{part}" for i in range(n_layers) for part in LINEAR_MAPS + LAYER_NORMS]
    names = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    return [WORD_EMBEDDINGS, POSITION_EMBEDDINGS, *names]


def _tabulate_bias(model: nn.Module, buckets: Matrix, *, n_positions: int) -> Matrix:
    """Return MPNet's attention bias (heads, 2 * n_positions - 1) by distance, from its buckets (n_buckets, heads)."""
    encoder: Any = model.encoder
    distances = torch.arange(1 - n_positions, n_positions)  # key - query
    bucket_of = encoder.relative_position_bucket(distances, num_buckets=len(buckets))
    return np.ascontiguousarray(buckets[bucket_of.numpy()].T)


def _join_head(head: nn.Sequential, hidden: int) -> tuple[Matrix, Scores | None] | None:
    """Return the one linear map that the modules after pooling are, apart from the length of its result; or None."""
    weight = np.eye(hidden, dtype=np.float32)
    bias: Scores | None = None
    is_normalized = False
    for module in head:
        if isinstance(module, Normalize):
            is_normalized = True
        elif isinstance(module, nn.Linear):
            if module.bias is not None and is_normalized:
                return None  # the bias does not grow with the length of the vector
            matrix = module.weight.detach().cpu().numpy()
            weight = matrix @ weight
            bias = None if bias is None else matrix @ bias
            if module.bias is not None:
                own = module.bias.detach().cpu().numpy()
                bias = own if bias is None else bias + own
        elif not isinstance(module, nn.Identity):
            return None
    return weight, bias
