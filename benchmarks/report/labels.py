"""Names of systems in result files -> labels in tables and pictures. The stored names join results and never change."""

BACK_PROJECTED = "back-projected"
INDEX_LABELS = {"words": "BM25"}


def system_label(system: str) -> str:
    """Return the label of a system; "X asks Y" is asymmetric search."""
    query_encoder, asymmetric, document_encoder = system.partition(" asks ")
    return f"query encoder {query_encoder}, document encoder {document_encoder}" if asymmetric else system


def index_label(index: str) -> str:
    """Return the label of an index."""
    return INDEX_LABELS.get(index, index)


def dimension_label(text: str) -> str:
    """Return a stored description with "dimensions" for "numbers"."""
    return text.replace(" numbers", " dimensions")
