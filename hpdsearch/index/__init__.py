"""Vectors -> neighbours (faiss): what to make (spec), making it (build), the vectors file, searching one segment."""

from hpdsearch.index.build import build_index
from hpdsearch.index.segment import Segment
from hpdsearch.index.spec import Codec, IndexSpec, Kind
from hpdsearch.index.vectorfile import VectorFile, VectorWriter

__all__ = ["Codec", "IndexSpec", "Kind", "Segment", "VectorFile", "VectorWriter", "build_index"]
