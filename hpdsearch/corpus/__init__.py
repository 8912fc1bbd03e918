"""Read documents from files, folders and standard input, one at a time; every error names file and line."""

from hpdsearch.corpus.options import Fields, LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.read import read_corpus

__all__ = ["Fields", "LineFormat", "ReadOptions", "ReadStats", "read_corpus"]
