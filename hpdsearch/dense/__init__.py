"""Vectors -> nearest neighbors (faiss): the spec, building and measuring an index, the vectors file, one segment."""

from hpdsearch.dense.buffer import BufferedVectors
from hpdsearch.dense.build import IndexFile, TrainedCodes, build_index, train_codes
from hpdsearch.dense.operating_points import OperatingPoint, OperatingPoints
from hpdsearch.dense.row_map import RowMap
from hpdsearch.dense.segment import Segment
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType, Kind
from hpdsearch.dense.vector_file import VectorFile, VectorWriter

__all__ = [
    "BufferedVectors",
    "Codec",
    "IndexFile",
    "IndexSpec",
    "IndexType",
    "Kind",
    "OperatingPoint",
    "OperatingPoints",
    "RowMap",
    "Segment",
    "TrainedCodes",
    "VectorFile",
    "VectorWriter",
    "build_index",
    "train_codes",
]
