"""How pictures are drawn: one look, and equal data give equal bytes with one version of matplotlib."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from hpdsearch.common.files import atomic_write
from hpdsearch.errors import QueryError, require_extra

# Okabe and Ito's colours, told apart with every kind of colour vision.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
KINDS = ("svg", "png", "pdf")
SETTINGS: dict[Any, Any] = {  # matplotlib names its keys one by one
    "svg.hashsalt": "hpdsearch",  # else the ids in the file are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
}


@contextmanager
def save_figure(path: Path, *, width: float = 8, height: float = 6) -> Iterator[Any]:
    """Give a matplotlib figure of so many inches; when the block ends well, write it as the path's ending says.

    Raises:
        MissingExtraError: matplotlib is not installed. QueryError: an ending other than .svg, .png and .pdf.
    """
    require_extra("matplotlib", extra="plot", feature="a picture")
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.lower().lstrip(".")
    if kind not in KINDS:
        raise QueryError(f"{path}: expected a name that ends in .{', .'.join(KINDS)}")
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        picture = BytesIO()
        figure.savefig(picture, format=kind, metadata={"Date": None} if kind == "svg" else None)
    with atomic_write(path) as file:
        file.write(picture.getvalue())
