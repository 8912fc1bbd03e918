"""hpdsearch: semantic search over your own text, on one machine.

Importing it is cheap: torch, transformers, faiss and onnxruntime are loaded by the first call that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpdsearch.errors import HpdsearchError
from hpdsearch.records import Document, Hit

if TYPE_CHECKING:
    from hpdsearch.distill.pipeline import distill
    from hpdsearch.encoder import Encoder
    from hpdsearch.index import Index

__all__ = ["Document", "Encoder", "Hit", "HpdsearchError", "Index", "__version__", "distill"]
__version__ = "0.1.0"

_LAZY = {"Encoder": "hpdsearch.encoder", "Index": "hpdsearch.index"}


def __getattr__(name: str) -> Any:
    if name == "distill":
        return import_module("hpdsearch.distill")  # a package that can be called
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
