"""Save figures in one style. Equal data give equal bytes with the same version of matplotlib."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from hpdsearch.common.outputs import open_output
from hpdsearch.errors import QueryError, require_extra

# Colors that all kinds of color vision distinguish. Source: Okabe and Ito 2008, "Color universal design".
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
FORMATS = ("svg", "png", "pdf")
SETTINGS: dict[Any, Any] = {  # matplotlib types its keys as literals
    "svg.hashsalt": "hpdsearch",  # without it the ids in the file are random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
}


@contextmanager
def save_figure(
    path: Path, *, width: float = 8, height: float = 6, overwrite: bool = True, inputs: Iterable[Path] = ()
) -> Iterator[Any]:
    """Yield a matplotlib figure; if the block ends without error, save it in the format of the path's ending.

    Args:
        path: ends in .svg, .png or .pdf.
        width: in inches.
        height: in inches.
        overwrite: replace a file that exists.
        inputs: as for `open_output`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        QueryError: the path has another ending.
        OutputError: the file cannot be written.
    """
    require_extra("matplotlib", extra="plot", feature="a picture")
    import matplotlib
    from matplotlib.figure import Figure

    file_format = path.suffix.lower().lstrip(".")
    if file_format not in FORMATS:
        raise QueryError(f"{path}: expected a name that ends in .{', .'.join(FORMATS)}")
    with open_output(path, overwrite=overwrite, inputs=inputs) as file, matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        picture = BytesIO()
        metadata = {"Date": None} if file_format == "svg" else None
        figure.savefig(picture, format=file_format, metadata=metadata)
        file.write(picture.getvalue())
