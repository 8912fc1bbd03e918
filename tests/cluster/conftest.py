"""Figures with round numbers, so that plans can be computed by hand."""

import pytest

from hpdsearch.cluster.fanout import LatencyShape
from hpdsearch.cluster.figures import (
    EncodingFigure,
    Figures,
    MergeFigure,
    SearchFigure,
    StageFigure,
    TextFigure,
)

SHAPE = LatencyShape(1_000_000, 1.0, ((0.0, 0.5), (0.5, 1.0), (0.9, 1.2), (0.99, 2.0), (0.9999, 4.0)))


@pytest.fixture
def figures() -> Figures:
    """Return figures: 0.1, 1 and 10 words per token etc. are powers of ten, so lines of logarithms are exact."""
    points = ((0.90, 0.5), (0.95, 1.0), (0.99, 2.0))
    return Figures(
        machine="a machine",
        sources=({"benchmark": "plan", "date": "2026-01-01", "commit": "abc", "machine": "a machine"},),
        search=(
            SearchFigure("ivf", "pq", 256, 10_000, 0.95, 1.0, points),
            SearchFigure("ivf", "pq", 256, 1_000_000, 0.95, 10.0, points),
            SearchFigure("flat", "pq", 256, 10_000, 0.95, 1.0, points),
            SearchFigure("flat", "pq", 256, 1_000_000, 0.95, 100.0, points),
        ),
        encoding=(
            EncodingFigure("base", "cpu", 1, 10, 100.0),
            EncodingFigure("base", "cpu", 1, 100, 10.0),
            EncodingFigure("base", "cpu", 2, 10, 180.0),
            EncodingFigure("base", "cpu", 2, 100, 18.0),
        ),
        single_text={"base": (1.0, 2.0, 3.0)},
        texts=(TextFigure(10, 20, 1, 100, 10), TextFigure(1000, 2000, 10, 10_000, 1000)),
        stages=(StageFigure(10_000, 1.0, 2.0), StageFigure(1_000_000, 1.0, 2.0)),
        process_bytes=1_000_000_000,
        shapes={"dense": SHAPE, "hybrid": SHAPE},
        merging=tuple(MergeFigure(mode, n, 0.00125 * n) for mode in ("dense", "hybrid") for n in (8, 128)),
    )
