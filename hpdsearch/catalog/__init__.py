"""The catalog (SQLite): documents, passages, metadata, tombstones, and the files in force. The one commit point.

A reader holds one SQLite snapshot (write-ahead log) for as long as it is open: it sees the state that it opened and
nothing later. A writer changes everything in one transaction. Who may write, and when files are made or swept, is the
engine's business.
"""

from hpdsearch.catalog.reader import Catalog
from hpdsearch.catalog.schema import FILE_NAME, FORMAT, SegmentEntry, StoredDocument
from hpdsearch.catalog.writer import CatalogWriter

__all__ = ["FILE_NAME", "FORMAT", "Catalog", "CatalogWriter", "SegmentEntry", "StoredDocument"]
