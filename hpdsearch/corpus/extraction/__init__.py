"""Text of PDF, Office, EPUB, mail and notebook files, read by a worker process with limits of time and memory."""

from hpdsearch.corpus.extraction.extractor import Extractor
from hpdsearch.corpus.extraction.limits import ExtractionLimits

__all__ = ["ExtractionLimits", "Extractor"]
