"""Vectors -> neighbours (faiss): what to make (spec), making and tuning it (build), the vectors file, one segment."""

from hpdsearch.dense.buffer import WaitingVectors
from hpdsearch.dense.build import IndexFile, build_index
from hpdsearch.dense.recall_curve import Curve, Point
from hpdsearch.dense.row_map import RowMap
from hpdsearch.dense.segment import Segment
from hpdsearch.dense.spec import Codec, IndexSpec, Kind
from hpdsearch.dense.vector_file import VectorFile, VectorWriter

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
