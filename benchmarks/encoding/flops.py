"""How many floating point operations a Transformer needs for a text, from its shape and the text's tokens."""

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
        n_layers, hidden, inner: layers, their width, and the width inside their feed-forward part.
        max_tokens: tokens of text that are read at once.
        reads_on: a longer text is read in consecutive windows; else it is cut.
    """

    n_layers: int
    hidden: int
    intermediate: int
    max_tokens: int
    splits_long_texts: bool


def count_operations(shape: Shape, n_tokens: int) -> int:
    """Return the operations for a text of n_tokens tokens (special ones not among them): real tokens, no padding.

    Matrix products only, a multiplication and an addition being two: a layer's four square maps and its two maps of
    the feed-forward part, for every token, and attention's two products, of every token with every other. The rest
    (softmax, norms, pooling, the head of one vector a text) is about a hundredth of these.
    """
    total, layer = 0, 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate
    for first in range(0, max(1, n_tokens) if shape.splits_long_texts else 1, shape.max_tokens):
        window = min(n_tokens - first, shape.max_tokens) + N_SPECIAL
        total += shape.n_layers * (2 * layer * window + 4 * window**2 * shape.hidden)
    return total


def read_shape(folder: Path) -> Shape | None:
    """Return the shape of an encoder's or a sentence-transformers model's folder; None for a table of tokens."""
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
    """Return the operations for each text, its tokens counted by the model's own tokenizer; None for a table."""
    shape = read_shape(folder)
    if shape is None:
        return None
    tokens = TextTokenizer.load(folder / "tokenizer.json").ids(list(texts))
    return [count_operations(shape, len(of_text)) for of_text in tokens]
