"""Give each encoder a color and each index a marker, the same in every picture."""

from typing import Any

from hpdsearch.common.plotting import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

GRAY = "#777777"
ENCODER_COLORS = {
    "teacher": BLACK,
    "teacher projected": GRAY,
    "base": BLUE,
    "small": SKY,
    "static": GREEN,
    "MiniLM": VERMILION,
    "model2vec": PURPLE,
    "BM25": ORANGE,
}
CODEC_MARKERS = {"f32": "x", "sq8": "s", "pq": "o", "rabitq": "^", "binary": "v", "words": "D", "hybrid": "*"}


def color(encoder: str) -> str:
    """Return the color of an encoder, teacher or baseline by its name in a result."""
    names = {"all-mpnet-base-v2": "teacher", "all-MiniLM-L6-v2": "MiniLM", "hpdsearch": "base"}
    for full, short in names.items():
        encoder = encoder.replace(full, short)
    exact = {name for name in ENCODER_COLORS if encoder == name}
    known = exact or {name for name in ENCODER_COLORS if encoder.startswith(name)} or {"teacher projected"}
    return ENCODER_COLORS[max(known, key=len)]


def marker(index: str) -> str:
    """Return the marker of an index by its name; the name ends with the codec, as in "ivf pq"."""
    return CODEC_MARKERS.get(index.split()[-1] if index else "", "P")


def point_style(encoder: str, index: str, *, hollow: bool = False) -> dict[str, Any]:
    """Return the plot arguments of a point."""
    shade = color(encoder)
    look: dict[str, Any] = {"color": shade, "marker": marker(index), "linestyle": "none", "markersize": 7}
    return look | ({"markerfacecolor": "none"} if hollow and marker(index) != "x" else {})
