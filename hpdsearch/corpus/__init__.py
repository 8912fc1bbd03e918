"""Read documents from files, folders and standard input, one at a time; every error names file and line."""

from hpdsearch.corpus.options import Fields, LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.read import CorpusReader, read_corpus
from hpdsearch.corpus.skipping import OnError, Skipped

__all__ = ["CorpusReader", "Fields", "LineFormat", "OnError", "ReadOptions", "ReadStats", "Skipped", "read_corpus"]
