"""The encoder of an index: load one, and check that its vectors can be compared with those of the index."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpdsearch.encoder import Backend, Encoder
from hpdsearch.errors import EncoderError

logger = logging.getLogger(__name__)

EncoderLike = str | Path | Encoder


def load_encoder(encoder: EncoderLike, backend: Backend = Backend.AUTO) -> Encoder:
    """Return a loaded encoder as it is, or load one by built-in name or folder.

    Raises:
        EncoderError: there is no such encoder, or its files are corrupt.
    """
    if isinstance(encoder, Encoder):
        return encoder
    start = time.perf_counter()
    loaded = Encoder.load(encoder, backend=backend)
    logger.info("encoder %s loaded in %.0f ms", loaded.location, (time.perf_counter() - start) * 1000)
    return loaded


def fit_encoder(encoder: Encoder, meta: Mapping[str, Any], folder: Path) -> Encoder:
    """Return the encoder truncated to the dimensions of the index.

    Args:
        encoder: any encoder.
        meta: the settings of the index.
        folder: the index folder, named in errors.

    Raises:
        EncoderError: the encoder is of another space, or has fewer dimensions than the index.
    """
    if encoder.space != meta["space"]:
        raise EncoderError(
            f"{folder}: holds vectors of space {meta['space']} (encoder {meta['encoder']}), but encoder {encoder.name} "
            f"is of space {encoder.space}; query with --query-encoder {meta['encoder']}, or index again with "
            f"--overwrite --encoder {encoder.location}"
        )
    if encoder.model_dim < meta["dim"]:
        raise EncoderError(
            f"{folder}: holds vectors of {meta['dim']} dimensions (encoder {meta['encoder']}), but encoder "
            f"{encoder.name} has only {encoder.model_dim}; query with --query-encoder {meta['encoder']}"
        )
    return encoder.truncate(meta["dim"])
