"""The encoder folder of a static encoder: a table of token vectors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpdsearch.common.vectors import require_matrix
from hpdsearch.distillation.export.quantize import quantize_rows
from hpdsearch.distillation.spec import Precision
from hpdsearch.encoder.folder import CONFIG, TOKENIZER, WEIGHTS, EncoderType, write_encoder
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.encoder.weights import SCALE
from hpdsearch.errors import ShapeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def export_static(
    folder: Path,
    *,
    name: str,
    space: str,
    table: np.ndarray,
    tokenizer: "Tokenizer",
    max_tokens: int = 256,
    precision: Precision = Precision.INT8,
) -> Path:
    """Write the encoder folder of a static encoder: the mean of a text's token vectors, scaled to unit length.

    Args:
        folder: created if missing; the files of an encoder in it are replaced.
        name: of the encoder.
        space: id of the space that the vectors lie in.
        table: (vocabulary, dim), a weighted vector per token id. A token with a zero row is ignored.
        tokenizer: the special tokens that it adds to a text are not used.
        max_tokens: tokens of a passage. A text of any length is one window.
        precision: storage type of the table.

    Returns:
        The folder. Equal arguments give equal bytes.

    Raises:
        ShapeError: table is not a finite matrix, has too few rows for the tokenizer, or the mean of its rows is zero.
    """
    from safetensors.numpy import save

    require_matrix(table, name="table", dim=table.shape[-1])
    vocabulary_size = tokenizer.get_vocab_size()
    if len(table) < vocabulary_size:
        raise ShapeError(f"table: expected at least {vocabulary_size} rows for the tokenizer, got {len(table)}")
    if not table.mean(axis=0).any():
        raise ShapeError("table: expected a mean row that is not zero: it is the vector of a text without tokens")
    tensors: dict[str, np.ndarray] = {TABLE: np.ascontiguousarray(table, dtype=np.float32)}
    if precision is Precision.INT8:
        tensors[TABLE], tensors[TABLE + SCALE] = quantize_rows(tensors[TABLE])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = {"model_type": EncoderType.STATIC.value, "vocab_size": len(table), "hidden_size": table.shape[1]}
    contents = {
        WEIGHTS: save(tensors),
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        TOKENIZER: tokenizer.to_str().encode(),
    }
    return write_encoder(folder, contents, name=name, dim=table.shape[1], max_tokens=max_tokens, space=space)
