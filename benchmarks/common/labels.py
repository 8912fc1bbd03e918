"""Turn names in result files into labels for tables and pictures.

Results are joined by the stored names, so these never change.
"""

from collections.abc import Mapping
from typing import Any

BACK_PROJECTED = "back-projected"
INDEX_LABELS = {"words": "BM25"}


def system_label(system: str) -> str:
    """Return the label of a system; the stored name "X asks Y" means asymmetric search."""
    query_encoder, asymmetric, document_encoder = system.partition(" asks ")
    return f"query encoder {query_encoder}, document encoder {document_encoder}" if asymmetric else system


def measurement_label(item: Mapping[str, Any]) -> str:
    """Return the label of a measurement; its name contains the name of its system."""
    name = str(item["name"])
    system = item.get("system", "")
    return dimension_label(name.replace(system, system_label(system)))


def index_label(index: str) -> str:
    """Return the label of an index."""
    return INDEX_LABELS.get(index, index)


def dimension_label(text: str) -> str:
    """Return a stored description with "dimensions" instead of "numbers"."""
    return text.replace(" numbers", " dimensions")
