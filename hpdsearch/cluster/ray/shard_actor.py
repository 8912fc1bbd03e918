"""The actor of one shard: it holds the codes of the shard and answers searches with the statistics of all shards."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.catalog import CLUSTER_FILE
from hpdsearch.errors import HpdsearchError
from hpdsearch.index.shards.cluster_file import ClusterFile, read_cluster
from hpdsearch.search.exact_scores import read_document_vectors
from hpdsearch.search.one_shard import Candidate, PartOptions, PartQuery, open_one_shard, search_part
from hpdsearch.search.sharded import ShardedSnapshot

State = tuple[int, tuple[int, ...]]  # number of the build, and the generation of each shard
STALE = "stale"  # the answer of an actor that cannot open the commits of the caller


def read_state(cluster: ClusterFile, snapshot: ShardedSnapshot) -> State:
    """Return the commits that a snapshot holds."""
    return cluster.number, tuple(shard.catalog.generation() for shard in snapshot.shards)


class ShardActor:
    """Searches one shard. Each answer is {"value": ...}, or {"error": name, "message": text} of an HpdsearchError."""

    def __init__(self, folder: str, number: int) -> None:
        """Open nothing yet: an error in the files is an answer, and no reason to start again.

        Args:
            folder: of the index.
            number: of the shard.
        """
        self._folder = Path(folder)
        self._number = number
        self._snapshot: ShardedSnapshot | None = None
        self._state: State = (0, ())

    def search(self, state: State, queries: Sequence[PartQuery], options: PartOptions) -> dict[str, Any]:
        """Return the candidates of the shard for each query.

        Args:
            state: the commits that the caller has opened.
            queries: the queries.
            options: the options of the search.
        """

        def run(snapshot: ShardedSnapshot) -> list[list[Candidate]]:
            return [search_part(snapshot, query, options) for query in queries]

        return self._answer(state, run)

    def read_vectors(self, state: State, docs: Sequence[int]) -> dict[str, Any]:
        """Return the stored vectors of each of these documents of the shard."""

        def run(snapshot: ShardedSnapshot) -> list[np.ndarray]:
            return read_document_vectors(snapshot, docs)

        return self._answer(state, run)

    def prepare(self, state: State) -> dict[str, Any]:
        """Open the files."""
        return self._answer(state, lambda _: True)

    def _answer(self, state: State, run: Callable[[ShardedSnapshot], Any]) -> dict[str, Any]:
        try:
            snapshot = self._open(state)
            return {"value": STALE if snapshot is None else run(snapshot)}
        except HpdsearchError as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _open(self, state: State) -> ShardedSnapshot | None:
        """Return the snapshot of these commits; None: the newest ones are others."""
        if self._snapshot is None or self._state != state:
            cluster = read_cluster(self._folder)
            path = self._folder / CLUSTER_FILE
            opened = open_one_shard(path, cluster.folders(self._folder), self._number, self._snapshot)
            self._state = read_state(cluster, opened)
            self._snapshot = opened
        return self._snapshot if self._state == state else None
