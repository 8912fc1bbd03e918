"""The figures that a plan is computed from: what was measured on one machine (figures.json, or a file of the user).

`python -m benchmarks.scale.plan` writes such a file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdsearch.cluster.fanout import LatencyShape
from hpdsearch.errors import PlanError

FORMAT = 1
SHIPPED = Path(__file__).with_name("figures.json")


@dataclass(frozen=True)
class SearchFigure:
    """Latency of a query in one segment, on one thread, without its encoding.

    Attributes:
        kind: "flat" or "ivf".
        codec: "f32", "sq8", "pq" or "rabitq".
        dim: dimensions of a vector.
        n_passages: vectors of the segment.
        recall_target: the ann_recall that it was built for.
        milliseconds: median.
        points: (ann_recall, milliseconds) of its operating points, ascending in both; a confident ann_recall.
    """

    kind: str
    codec: str
    dim: int
    n_passages: int
    recall_target: float
    milliseconds: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class EncodingFigure:
    """Rate of an encoder for texts of one length.

    Attributes:
        encoder: name of the encoder.
        device: "cpu" or "cuda".
        units: cores, or GPUs.
        n_tokens: tokens of a text, mean.
        texts_per_second: rate of all units together.
    """

    encoder: str
    device: str
    units: int
    n_tokens: float
    texts_per_second: float


@dataclass(frozen=True)
class TextFigure:
    """Bytes on disk of the texts of an index, without vectors and codes.

    Attributes:
        words: words of a document, mean.
        tokens: tokens of a document, mean.
        passages: passages of a document, mean.
        catalog_bytes: bytes of catalog.sqlite for each document.
        lexical_bytes: bytes of the lexical index for each document.
    """

    words: float
    tokens: float
    passages: float
    catalog_bytes: float
    lexical_bytes: float


@dataclass(frozen=True)
class StageFigure:
    """Milliseconds of a search of a complete index that are no scan of codes and no encoding.

    Attributes:
        n_passages: passages of the index.
        documents: reading documents and making hits.
        lexical: what hybrid search takes longer than dense search.
    """

    n_passages: int
    documents: float
    lexical: float


@dataclass(frozen=True)
class MergeFigure:
    """Milliseconds of merging the candidates of all shards into the hits of a query.

    Attributes:
        mode: "dense" or "hybrid", whose shards return more candidates.
        n_shards: shards.
        milliseconds: median.
    """

    mode: str
    n_shards: int
    milliseconds: float


@dataclass(frozen=True)
class Figures:
    """Everything that was measured on one machine.

    Attributes:
        machine: its description.
        sources: benchmark, date, commit and machine of each result.
        search: latency of segments.
        encoding: rates of encoders.
        single_text: (p50, p95, p99) milliseconds of encoding a query on one core, by encoder.
        texts: bytes of texts, ascending in words.
        stages: further parts of a search, ascending in passages.
        process_bytes: memory of a serving process without its codes.
        shapes: distribution of the latencies of a shard, by mode: "dense", "hybrid".
        merging: merging of candidates.
    """

    machine: str
    sources: tuple[dict[str, str], ...]
    search: tuple[SearchFigure, ...]
    encoding: tuple[EncodingFigure, ...]
    single_text: dict[str, tuple[float, float, float]]
    texts: tuple[TextFigure, ...]
    stages: tuple[StageFigure, ...]
    process_bytes: int
    shapes: dict[str, LatencyShape]
    merging: tuple[MergeFigure, ...]


def read_figures(path: Path | None = None) -> Figures:
    """Read a file of figures; without a path the one that ships.

    Raises:
        PlanError: the file is no JSON, has another format or lacks a figure.
        OSError: it cannot be read.
    """
    path = path or SHIPPED
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else type(values).__name__
            raise PlanError(f"{path}: expected figures of format {FORMAT}, got {found!r}")
        return _make_figures(values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, PlanError):
            raise
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise PlanError(f"{path}: expected a file that python -m benchmarks.scale.plan wrote, got {what}") from error


def _make_figures(values: dict[str, Any]) -> Figures:
    return Figures(
        machine=values["machine"],
        sources=tuple(values["sources"]),
        search=tuple(SearchFigure(**one | {"points": tuple(map(_pair, one["points"]))}) for one in values["search"]),
        encoding=tuple(EncodingFigure(**one) for one in values["encoding"]),
        single_text={name: (p50, p95, p99) for name, (p50, p95, p99) in values["single_text"].items()},
        texts=tuple(TextFigure(**one) for one in values["texts"]),
        stages=tuple(StageFigure(**one) for one in values["stages"]),
        process_bytes=values["process_bytes"],
        shapes={
            mode: LatencyShape(
                shape["n_samples"],
                shape["mean"],
                tuple(map(_pair, shape["quantiles"])),
                shape["correlation"],
            )
            for mode, shape in values["shapes"].items()
        },
        merging=tuple(MergeFigure(**one) for one in values["merging"]),
    )


def _pair(values: list[float]) -> tuple[float, float]:
    first, second = values
    return first, second
