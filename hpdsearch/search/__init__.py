"""Reading: one snapshot of an index, and the searches on it (dense, lexical, hybrid)."""

from hpdsearch.search.opening import open_state
from hpdsearch.search.searcher import Mode, search
from hpdsearch.search.snapshot import State

__all__ = ["Mode", "State", "open_state", "search"]
