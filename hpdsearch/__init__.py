"""Semantic search over your own text on one machine.

The import is cheap: torch, transformers, faiss and onnxruntime are loaded by the first call that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpdsearch.errors import HpdsearchError, require_extra
from hpdsearch.records import Document, EncodedDocument, Explanation, Hit

if TYPE_CHECKING:
    from hpdsearch.corpus.encoded import read_encoded
    from hpdsearch.dense import Codec, IndexSpec, Kind
    from hpdsearch.distillation.adoption import adopt as adopt
    from hpdsearch.distillation.pipeline import distill as distill
    from hpdsearch.distillation.queries import fit_queries
    from hpdsearch.distillation.spec import WeightedTeacher
    from hpdsearch.encoder import Encoder
    from hpdsearch.index import Index
    from hpdsearch.search import Mode

# `distill` and `adopt` are public too. They are not listed, because `from hpdsearch import *` would then need torch.
__all__ = [
    "Codec",
    "Document",
    "EncodedDocument",
    "Encoder",
    "Explanation",
    "Hit",
    "HpdsearchError",
    "Index",
    "IndexSpec",
    "Kind",
    "Mode",
    "WeightedTeacher",
    "__version__",
    "fit_queries",
    "read_encoded",
]
__version__ = "0.2.0"

_LAZY = {
    "Codec": "hpdsearch.dense",
    "Encoder": "hpdsearch.encoder",
    "Index": "hpdsearch.index",
    "IndexSpec": "hpdsearch.dense",
    "Kind": "hpdsearch.dense",
    "Mode": "hpdsearch.search",
    "WeightedTeacher": "hpdsearch.distillation.spec",
    "adopt": "hpdsearch.distillation.adoption",
    "distill": "hpdsearch.distillation.pipeline",
    "fit_queries": "hpdsearch.distillation.queries",
    "read_encoded": "hpdsearch.corpus.encoded",
}


def __getattr__(name: str) -> Any:
    if name in ("adopt", "distill"):
        require_extra("torch", "transformers", "onnx", extra="distill", feature=name)
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
