"""The places of search results on a map: their vectors along the two directions in which they differ most."""

from collections.abc import Sequence

import numpy as np

from hpdsearch.common.vectors import Matrix, unit_rows


def place_documents(
    vectors: Sequence[Matrix], query: Matrix | None = None
) -> tuple[list[list[float]], list[float] | None]:
    """Return the places of documents, and that of the query.

    The map shows the first two principal components of the documents' vectors. Both axes have one scale, and the
    largest coordinate is 1. The sign of an axis is chosen so that its largest coordinate is positive.

    Args:
        vectors: for each document, those of its passages, (n_passages, dim); a document is placed at their mean.
        query: the query's vector (1, dim), or None. It does not change the axes.

    Returns:
        [x, y] in -1..1 of each document, and of the query or None.
    """
    if not vectors:
        return [], None if query is None else [0.0, 0.0]
    means = unit_rows(np.stack([of_document.mean(axis=0) for of_document in vectors]))
    center = means.mean(axis=0)
    axes = np.linalg.svd(means - center, full_matrices=False)[2][:2]  # (up to 2, dim)
    points = np.concatenate([means, query] if query is not None else [means])
    places = np.zeros((len(points), 2))
    places[:, : len(axes)] = (points - center) @ axes.T
    largest = places[np.abs(places).argmax(axis=0), [0, 1]]
    places *= np.where(largest < 0, -1, 1) / max(float(np.abs(largest).max()), 1e-9)
    rounded = np.round(places, 4).tolist()
    return rounded[: len(vectors)], rounded[-1] if query is not None else None
