"""Count the floating point operations of a Transformer for a text, from its shape and the text's tokens."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpdsearch.encoder.tokens import TextTokenizer

N_SPECIAL = 2  # tokens around every window: [CLS] and [SEP]
INTERMEDIATE = "encoder.layer.0.intermediate.dense.weight"


@dataclass(frozen=True)
class Shape:
    """The sizes that decide the number of operations.

    Attributes:
        n_layers: number of layers.
        hidden: width of a layer.
        intermediate: width of the feed-forward part.
        max_tokens: maximum tokens of a window, without special tokens.
        splits_long_texts: longer texts are split into consecutive windows; otherwise they are truncated.
    """

    n_layers: int
    hidden: int
    intermediate: int
    max_tokens: int
    splits_long_texts: bool


def count_operations(shape: Shape, n_tokens: int) -> int:
    """Return the operations for a text of n_tokens tokens, without special tokens and padding.

    Only matrix products count, and a multiply-add counts as two operations. A layer has four square maps and two
    feed-forward maps per token, and two attention products per pair of tokens. The rest (softmax, norms, pooling, head)
    is about one percent of these.
    """
    total = 0
    layer = 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate
    for first in range(0, max(1, n_tokens) if shape.splits_long_texts else 1, shape.max_tokens):
        window = min(n_tokens - first, shape.max_tokens) + N_SPECIAL
        total += shape.n_layers * (2 * layer * window + 4 * window**2 * shape.hidden)
    return total


def read_shape(folder: Path) -> Shape | None:
    """Read the shape from the folder of an encoder or a sentence-transformers model; None for a token table."""
    config = json.loads((folder / "config.json").read_bytes())
    if "num_hidden_layers" not in config:
        return None
    card = folder / "encoder.json"
    if card.exists():
        max_tokens = json.loads(card.read_bytes())["max_tokens"]
    else:
        max_tokens = json.loads((folder / "sentence_bert_config.json").read_bytes())["max_seq_length"] - N_SPECIAL
    intermediate = config.get("intermediate_size") or _read_intermediate_size(folder / "model.safetensors")
    return Shape(config["num_hidden_layers"], config["hidden_size"], intermediate, max_tokens, card.exists())


def _read_intermediate_size(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, "numpy") as weights:
        rows: int = weights.get_slice(INTERMEDIATE).get_shape()[0]
        return rows


def count_text_operations(folder: Path, texts: Sequence[str]) -> list[int] | None:
    """Return the operations of each text with the model's own tokenizer; None for a token table."""
    shape = read_shape(folder)
    if shape is None:
        return None
    tokens = TextTokenizer.load(folder / "tokenizer.json").ids(list(texts))
    return [count_operations(shape, len(ids)) for ids in tokens]
