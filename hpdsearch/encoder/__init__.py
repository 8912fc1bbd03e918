"""Encoders turn texts into unit vectors: encoder folders, the built-in encoders, and the spaces that encoders share.

onnxruntime and tokenizers are imported when an encoder is loaded, torch only for the backend of that name.
"""

from hpdsearch.encoder.backends import Backend
from hpdsearch.encoder.device import Device
from hpdsearch.encoder.encoder import Encoder
from hpdsearch.encoder.folder import EncoderCard, EncoderType, built_in_names, read_card
from hpdsearch.encoder.space import Space, read_space, write_space

__all__ = [
    "DEFAULT_ENCODER",
    "Backend",
    "Device",
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
