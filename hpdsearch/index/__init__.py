"""Vectors -> neighbours (faiss): what to make (spec), making and tuning it (build), the vectors file, one segment."""

from hpdsearch.index.build import IndexFile, build_index
from hpdsearch.index.curve import Curve, Point
from hpdsearch.index.rows import RowMap
from hpdsearch.index.segment import Segment
from hpdsearch.index.spec import Codec, IndexSpec, Kind
from hpdsearch.index.vectorfile import VectorFile, VectorWriter
from hpdsearch.index.waiting import WaitingVectors

__all__ = [
    "Codec",
    "Curve",
    "IndexFile",
    "IndexSpec",
    "Kind",
    "Point",
    "RowMap",
    "Segment",
    "VectorFile",
    "VectorWriter",
    "WaitingVectors",
    "build_index",
]
