"""Texts to unit vectors: encoder folders, the encoders that ship with the package, and the spaces they share.

Nothing here loads onnxruntime or tokenizers before an encoder is loaded, nor torch unless its backend is asked for.
"""

from hpdsearch.encoder.backends import Backend
from hpdsearch.encoder.encoder import Encoder
from hpdsearch.encoder.folder import EncoderCard, EncoderType, built_in_names, read_card
from hpdsearch.encoder.space import Space, read_space, write_space

__all__ = [
    "DEFAULT_ENCODER",
    "Backend",
    "Encoder",
    "EncoderCard",
    "EncoderType",
    "Space",
    "built_in_names",
    "read_card",
    "read_space",
    "write_space",
]

DEFAULT_ENCODER = "base"
