"""A trained table of token vectors to the folder of a static encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpdsearch.common.vectors import require_matrix
from hpdsearch.distillation.export.transformer import Precision, quantize_rows
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
    """Write an encoder folder: the mean of a text's token vectors, scaled to length 1.

    Args:
        folder: made if it is not there; files of an encoder in it are replaced.
        name: the encoder's name.
        space: id of the space that the vectors lie in.
        table: (vocabulary, dim), a vector a token id, its weight multiplied in; a row of zeros is not heard.
        tokenizer: special tokens that it sets around a text are left out.
        max_tokens: tokens of a passage; a text of any length is read whole.
        precision: how the table is stored.

    Returns:
        The folder. Equal arguments give equal bytes.

    Raises:
        ShapeError: table is not a finite matrix, has too few rows for the tokenizer, or its rows sum up to nothing.
    """
    from safetensors.numpy import save

    require_matrix(table, name="table", dim=table.shape[-1])
    n_words = tokenizer.get_vocab_size()
    if len(table) < n_words:
        raise ShapeError(f"table: expected at least {n_words} rows for the tokenizer, got {len(table)}")
    if not table.mean(axis=0).any():
        raise ShapeError("table: expected rows whose mean is not zero, for it is the vector of a text without tokens")
    tensors = {TABLE: np.ascontiguousarray(table, dtype=np.float32)}
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
