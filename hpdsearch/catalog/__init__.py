"""The catalog (SQLite): documents, passages, metadata, tombstones and the list of active files.

A reader keeps the SQLite snapshot that it opened (write-ahead log) and sees no later commit. A writer makes all changes
in one transaction. hpdsearch.indexer decides who may write and when files are created or removed.
"""

from hpdsearch.catalog.file_metadata import content_fingerprint
from hpdsearch.catalog.reader import Catalog
from hpdsearch.catalog.schema import (
    FILE_NAME,
    FORMAT,
    FileState,
    SegmentEntry,
    StoredDocument,
    WithdrawnDocument,
)
from hpdsearch.catalog.sharded import CLUSTER_FILE, SHARD_STEP, OneShardCatalog, ShardedCatalog, holds_index
from hpdsearch.catalog.writer import CatalogWriter

__all__ = [
    "CLUSTER_FILE",
    "FILE_NAME",
    "FORMAT",
    "SHARD_STEP",
    "Catalog",
    "CatalogWriter",
    "FileState",
    "OneShardCatalog",
    "SegmentEntry",
    "ShardedCatalog",
    "StoredDocument",
    "WithdrawnDocument",
    "content_fingerprint",
    "holds_index",
]
