"""Reading: one snapshot of an index, and the searches on it (dense, lexical, hybrid)."""

from hpdsearch.search.opening import open_snapshot
from hpdsearch.search.searcher import Mode, search, search_like
from hpdsearch.search.snapshot import Snapshot

__all__ = ["Mode", "Snapshot", "open_snapshot", "search", "search_like"]
