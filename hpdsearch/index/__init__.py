"""The user's object: one index folder that can be built, searched, changed, described and verified."""

from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.index.index import Index
from hpdsearch.index.info import IndexInfo
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.search import Mode

__all__ = ["Codec", "Index", "IndexInfo", "IndexSpec", "Kind", "MergePolicy", "Mode"]
