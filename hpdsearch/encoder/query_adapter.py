"""The query adapter: an offset and a scale of each dimension, which only the vectors of queries get.

Questions resemble other questions more than the texts that answer them. What all queries have in common is not what
they ask for, so the adapter moves the mean of queries onto the mean of texts. It also gives more weight to dimensions
in which texts vary little. Documents keep their vectors: another adapter needs no new index.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpdsearch.common.vectors import Matrix, require_matrix, unit_rows
from hpdsearch.encoder.folder import QUERY_ADAPTER, add_file, read_card
from hpdsearch.errors import EncoderError, ShapeError

SCALING = 0.2  # dimensions are scaled by variance ** -SCALING, see decision 74
LEAST_VARIANCE = 1e-6  # of a dimension, as a share of the mean: an unused one is not scaled without limit

Vector = npt.NDArray[np.float32]  # (dim,)


@dataclass(frozen=True)
class QueryAdapter:
    """The map q -> (q - offset) * scale of the unit vectors of queries, at the encoder's full width.

    Attributes:
        offset: (dim,), finite.
        scale: (dim,), finite and above 0.

    Raises:
        ShapeError: the shapes or values are others.
    """

    offset: Vector
    scale: Vector

    def __post_init__(self) -> None:
        if self.offset.ndim != 1:
            raise ShapeError(f"offset: expected shape (dim,), got {self.offset.shape}")
        for name, values in (("offset", self.offset), ("scale", self.scale)):
            require_matrix(np.atleast_2d(values), name=name, dim=len(self.offset))
        if not (self.scale > 0).all():
            raise ShapeError(f"scale: expected values above 0, got {self.scale.min():g}")

    def __call__(self, vectors: Matrix) -> Matrix:
        """Return the adapted vectors (n, dim) of queries, of length 1; vectors (n, dim) are the encoder's."""
        return unit_rows((vectors - self.offset) * self.scale)


def fit_query_adapter(queries: Matrix, texts: Matrix, *, scaling: float = SCALING) -> QueryAdapter:
    """Fit an adapter to the vectors of one encoder.

    The offset is the mean of the queries less the mean of the texts. The scale is variance ** -scaling of the texts,
    about zero as in `fit_projection`; its mean is 1.

    Args:
        queries: unit vectors (n, dim) of typical queries, without an adapter.
        texts: unit vectors (m, dim) of typical documents.
        scaling: 0 for no scale.

    Raises:
        ShapeError: the shapes do not fit, there are no queries or no texts, or a value is not finite.
    """
    for name, vectors in (("queries", queries), ("texts", texts)):
        require_matrix(vectors, name=name, dim=queries.shape[-1])
        if not len(vectors):
            raise ShapeError(f"{name}: expected at least 1, got 0")
    variance = np.square(texts, dtype=np.float64).mean(axis=0)
    scale = np.maximum(variance, LEAST_VARIANCE * variance.mean()) ** -scaling
    offset = queries.mean(axis=0, dtype=np.float64) - texts.mean(axis=0, dtype=np.float64)
    return QueryAdapter(offset.astype(np.float32), (scale / scale.mean()).astype(np.float32))


def read_query_adapter(folder: Path) -> QueryAdapter | None:
    """Read the adapter of a verified encoder folder; None if the encoder has none.

    Raises:
        EncoderError: the file does not hold an adapter of the encoder's width, although its checksum is right.
    """
    card = read_card(folder)
    if QUERY_ADAPTER not in card.sha256:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / QUERY_ADAPTER
    try:
        tensors = load(path.read_bytes())
        adapter = QueryAdapter(tensors["offset"], tensors["scale"])
    except (SafetensorError, KeyError, ShapeError) as error:
        raise EncoderError(f"{path}: expected tensors offset and scale, got {error}; make the folder again") from None
    if (found := len(adapter.offset)) != card.dim:
        raise EncoderError(
            f"{path}: expected {card.dim} values (the encoder's dim), got {found}; make the folder again"
        )
    return adapter


def write_query_adapter(folder: Path, adapter: QueryAdapter, *, output: Path | None = None) -> None:
    """Give an encoder an adapter in place of its own, if it has one. Documents get the same vectors as before.

    Args:
        folder: the encoder folder.
        adapter: of the encoder's width.
        output: a new or empty folder for a copy with the adapter; None changes the encoder itself.

    Raises:
        EncoderError: the folder holds no encoder.
        ShapeError: the adapter has another width than the encoder.
    """
    from safetensors.numpy import save

    dim = read_card(folder).dim
    if len(adapter.offset) != dim:
        raise ShapeError(f"query adapter: expected {dim} values (the encoder's dim), got {len(adapter.offset)}")
    add_file(folder, QUERY_ADAPTER, save({"offset": adapter.offset, "scale": adapter.scale}), output=output)
