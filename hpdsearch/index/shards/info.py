"""Describe and verify an index in shards."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hpdsearch.catalog import CLUSTER_FILE, Catalog
from hpdsearch.dense import IndexSpec
from hpdsearch.index.info import IndexInfo, describe, spec_fields
from hpdsearch.index.shards.cluster_file import ClusterFile, choose_shard, read_cluster
from hpdsearch.search.sharded import ShardedSnapshot
from hpdsearch.search.snapshot import Snapshot


@dataclass(frozen=True)
class ShardedInfo(IndexInfo):
    """A description of an index in shards; numbers and bytes are those of all shards together.

    Attributes:
        shards: for each shard "name", "n_documents", "n_passages" and "disk_bytes".
    """

    shards: list[dict[str, Any]]

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self.shards)


def describe_shards(folder: Path, shards: Sequence[Path], snapshot: Snapshot, cluster: ClusterFile) -> ShardedInfo:
    """Describe an opened snapshot of all shards."""
    assert isinstance(snapshot, ShardedSnapshot)
    infos = [describe(shard, one) for shard, one in zip(shards, snapshot.shards, strict=True)]
    first = infos[0]
    values = {each.name: getattr(first, each.name) for each in fields(IndexInfo)}
    added = ("generation", "n_documents", "n_passages", "n_deleted", "n_draft", "n_buffered", "memory_bytes")
    values |= {name: sum(getattr(info, name) for info in infos) for name in (*added, "teacher_memory_bytes")}
    values |= {
        "folder": str(folder),
        "fields": snapshot.catalog.fields(),
        "spec": spec_fields(IndexSpec.from_dict(cluster.spec).as_dict()),
        "segments": [segment for info in infos for segment in info.segments],
        "disk_bytes": {part: sum(info.disk_bytes[part] for info in infos) for part in first.disk_bytes},
    }
    described = [
        {
            "name": Path(info.folder).name,
            "n_documents": info.n_documents,
            "n_passages": info.n_passages,
            "disk_bytes": sum(info.disk_bytes.values()),
        }
        for info in infos
    ]
    return ShardedInfo(**values, shards=described)


def find_shard_problems(folder: Path, shards: Sequence[Path]) -> list[str]:
    """Check that each document lies in its shard, where changes look for it; return a line for each problem."""
    cluster = read_cluster(folder)
    problems = []
    for number, shard in enumerate(shards):
        catalog = Catalog.open(shard)
        try:
            meta = catalog.meta()
            if (meta["space"], meta["dim"]) != (cluster.space, cluster.dim):
                problems.append(f"{shard}: space and dimensions of the vectors are not those of {CLUSTER_FILE}")
            stored = (each.document.doc_id for each in catalog.all_documents())
            wrong = sum(choose_shard(doc_id, len(shards)) != number for doc_id in stored)
            if wrong:
                problems.append(f"{shard}: {wrong} documents belong to other shards")
        finally:
            catalog.close()
    return problems
