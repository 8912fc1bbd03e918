"""The vectors that a document brings with it: they are checked, and stored as encoded ones are."""

import numpy as np

from hpdsearch.common.vectors import Stored, unit_rows
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.prepared import PreparedDocument
from hpdsearch.records import EncodedDocument, Passage

# Of the length from 1. float16 rounds each component by at most 2^-12 of it; other programs may add their own rounding.
LENGTH_TOLERANCE = 1e-3


def require_vectors(document: EncodedDocument, dim: int, space: str) -> None:
    """Check passages and vectors before they are stored.

    Args:
        document: its text is not blank.
        dim: dimensions of the index.
        space: id of the space of the index.

    Raises:
        CorpusError: the vectors are of another space or width, not finite or not of unit length, or their passages are
            not parts of the text.
    """
    where = f"document {document.doc_id!r}"
    if document.space != space:
        raise CorpusError(
            f"{where}: expected vectors of space {space}, got {document.space or 'vectors without a space'}; choose an "
            "encoder of their space, or encode the texts again: hpdsearch index"
        )
    vectors = np.asarray(document.vectors)
    expected = (len(document.passages), dim)
    if vectors.shape != expected or not np.issubdtype(vectors.dtype, np.floating):
        raise CorpusError(
            f"{where}: expected float vectors of shape {expected}, one for each passage, got {vectors.dtype} "
            f"{vectors.shape}"
        )
    if not np.isfinite(vectors).all():
        raise CorpusError(f"{where}: expected vectors of finite values, got NaN or infinity")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    worst = float(lengths[np.abs(lengths - 1).argmax()])
    if abs(worst - 1) > LENGTH_TOLERANCE:
        raise CorpusError(f"{where}: expected vectors of unit length, got one of length {worst:.6g}; normalize them")
    for passage in document.passages:
        _require_passage(passage, document.text, where)


def _require_passage(passage: Passage, text: str, where: str) -> None:
    if not 0 <= passage.start < passage.end <= len(text):
        raise CorpusError(
            f"{where}: expected passages within the {len(text)} characters of the text, got {passage.start} to "
            f"{passage.end}"
        )


def to_stored(document: EncodedDocument) -> Stored:
    """Return the vectors (n_passages, dim) as the vectors file holds them."""
    if isinstance(document, PreparedDocument):  # a unit length once more could change the last bits
        return np.asarray(document.vectors, "<f2")
    return unit_rows(np.asarray(document.vectors)).astype("<f2")
