"""RayIndex: an index in shards whose shards are searched by actors on a Ray cluster."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from hpdsearch.catalog import SHARD_STEP
from hpdsearch.cluster.ray.connection import connect
from hpdsearch.cluster.ray.replicas import Replicas
from hpdsearch.cluster.ray.shard_actor import STALE, read_state
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.encoder import Device
from hpdsearch.errors import ClusterError, QueryError
from hpdsearch.index.encoders import EncoderLike
from hpdsearch.index.index import parse_mode, require_stored
from hpdsearch.index.shards.sharded_index import ShardedIndex
from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY
from hpdsearch.records import EncodedDocument, Hit, Hits, integer_to_id
from hpdsearch.search import Mode
from hpdsearch.search.one_shard import Candidate, PartOptions, PartQuery, merge_parts
from hpdsearch.search.query_syntax import ParsedQuery, parse_query
from hpdsearch.search.searcher import check_limits, check_queries, make_hits, require_integer
from hpdsearch.search.sharded import ShardedSnapshot

DEADLINE_SECONDS = 30.0
START_SECONDS = 120.0  # until all shards are open
MAX_STALE = 20  # answers from other commits, before a search gives up
STALE_SECONDS = 0.05  # between them


class RayIndex(ShardedIndex):
    """An index in shards, each searched by actors. It gives the hits of the index that `Index.open` opens.

    A query is encoded here and sent to one actor of each shard; the candidates are merged exactly. If no actor of a
    shard answers in time, the answer is that of the other shards: `Hits.missing_shards` names the missing ones.
    Changes are those of `ShardedIndex`, in this process.
    """

    _with_vectors = ()

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "auto",
        replicas: int = 1,
        deadline: float = DEADLINE_SECONDS,
        encoder: EncoderLike | None = None,
        is_shared: bool = False,
    ) -> None:
        """Connect to a cluster, start the actors and wait until they have opened their shards.

        Args:
            folder: an index in shards, on storage that all nodes see by the same path.
            address: as in `connect`.
            replicas: actors of each shard.
            deadline: seconds that a search waits for the shards.
            encoder: the query encoder; None: that of the documents.
            is_shared: use the actors that another process of the cluster has started for this folder.

        Raises:
            MissingExtraError: Ray is not installed.
            ClusterError: there is no cluster at the address, or no shard could be opened in time.
            IndexFolderError, CorruptIndexError: as in `Index.open`; also if the folder holds an index without shards.
        """
        self.deadline = deadline
        self._n_replicas = replicas
        self._is_shared = is_shared
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(connect(address))
            super().__init__(folder, encoder, DEFAULT_MERGE_POLICY, None, Device.AUTO)
            self._replicas, self._started = self._start()
            self._ask("prepare", lambda _: self._for_all(), START_SECONDS)
            self._stack = stack.pop_all()

    def _start(self) -> tuple[Replicas, int]:
        number = self.cluster.number
        started = Replicas(self.folder, number, len(self.shards), self._n_replicas, is_shared=self._is_shared)
        return started, number

    def search(  # type: ignore[override]
        self,
        query: str | Sequence[str],
        k: int = 10,
        *,
        where: str | None = None,
        mode: str | Mode = Mode.HYBRID,
        ann_recall: float | None = None,
        min_score: float | None = None,
        explain: bool = False,
    ) -> Hits | list[Hits]:
        """Find the k best documents for a query, or for each of several; see `Index.search`.

        Raises:
            ClusterError: no shard has answered in time, or the index changed all the time.
            QueryError: as in `Index.search`, or `explain` is set: open the folder without Ray to explain its hits.
        """
        if explain:
            raise QueryError("explain: shards on Ray do not explain their hits; search the folder without --ray")
        texts = [query] if isinstance(query, str) else list(query)
        k = require_integer(k)
        check_queries(texts)
        check_limits(k, ann_recall, min_score)
        options = PartOptions(k, parse_mode(mode), where, ann_recall)
        parsed = [ParsedQuery(text) if options.mode is Mode.DENSE else parse_query(text) for text in texts]
        without_marks = [each.text for each in parsed]
        queries = [PartQuery(text) for text in texts]
        if options.mode is not Mode.LEXICAL and texts:
            vectors = self._encoders.encode_queries(self._snapshot, without_marks)
            queries = [replace(query, vector=one) for query, one in zip(queries, vectors, strict=True)]
        if options.mode is Mode.HYBRID:
            known = [self._encoders.known_words(self._snapshot, text) for text in without_marks]
            queries = [replace(query, known_words=words) for query, words in zip(queries, known, strict=True)]
        answers = self._search_shards(queries, without_marks, options, min_score)
        return answers[0] if isinstance(query, str) else answers

    def like(
        self,
        doc_id: str | int,
        k: int = 10,
        *,
        where: str | None = None,
        ann_recall: float | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Find the documents that are most like one of the index; see `Index.like`."""
        k = require_integer(k)
        check_limits(k, ann_recall, min_score)
        wanted = integer_to_id(doc_id)
        (mean,) = unit_rows(self.vectors([wanted])[0].mean(axis=0, keepdims=True))
        options = PartOptions(k + 1, Mode.DENSE, where, ann_recall)
        (hits,) = self._search_shards([PartQuery("", mean)], [""], options, min_score)
        return Hits([hit for hit in hits if hit.doc_id != wanted][:k], hits.missing_shards)

    def vectors(self, doc_ids: Sequence[str | int]) -> list[Matrix]:
        """Return the stored vectors of documents; see `Index.vectors`.

        Raises:
            ClusterError: their shards have not answered in time.
        """
        wanted = [integer_to_id(doc_id) for doc_id in doc_ids]
        snapshot, found = self._ask("read_vectors", lambda opened: self._request_vectors(opened, wanted), self.deadline)
        requested = self._request_vectors(snapshot, wanted)
        if len(found) < len(requested):
            raise ClusterError(f"{self.folder}: {', '.join(self._missing(found, requested))}: no answer in time")
        pairs = [zip(docs, found[shard], strict=True) for shard, (docs,) in requested.items()]
        vectors = dict(chain.from_iterable(pairs))
        numbers = snapshot.catalog.doc_numbers(wanted)
        return [vectors[numbers[doc_id]] for doc_id in wanted]

    def _request_vectors(self, snapshot: ShardedSnapshot, doc_ids: Sequence[str]) -> dict[int, tuple[list[int]]]:
        """Return the documents of each shard whose vectors are read."""
        numbers = snapshot.catalog.doc_numbers(doc_ids)
        require_stored(self.folder, doc_ids, numbers)
        by_shard: dict[int, tuple[list[int]]] = {}
        for doc in dict.fromkeys(numbers[doc_id] for doc_id in doc_ids):
            by_shard.setdefault(doc // SHARD_STEP, ([],))[0].append(doc)
        return by_shard

    def documents(self) -> Iterator[EncodedDocument]:
        """Refuse: the vectors are with the actors.

        Raises:
            ClusterError: always.
        """
        raise ClusterError(f"{self.folder}: an index on Ray is not exported; open the folder without Ray")

    def close(self) -> None:
        """End the actors that this object has started, and close the files."""
        super().close()
        if not self._is_shared:
            self.end_actors()
        self._stack.close()

    def end_actors(self) -> None:
        """End the actors, also those that other processes use."""
        self._replicas.close()

    def _search_shards(
        self,
        queries: Sequence[PartQuery],
        texts: Sequence[str],
        options: PartOptions,
        min_score: float | None,
    ) -> list[Hits]:
        """Return the hits of queries; `texts` are their texts without marks."""
        if not queries:
            return []
        snapshot, found = self._ask("search", lambda _: self._for_all(queries, options), self.deadline)
        missing = self._missing(found, range(len(self.shards)))
        answers = []
        for number, text in enumerate(texts):
            parts: list[list[Candidate]] = [part[number] for _, part in sorted(found.items())]
            ranking = [one for one in merge_parts(parts, options) if min_score is None or one.score >= min_score]
            answers.append(Hits(make_hits(snapshot, text, ranking), missing))
        return answers

    def _missing(self, found: Mapping[int, Any], wanted: Sequence[int] | Mapping[int, Any]) -> tuple[str, ...]:
        return tuple(self.cluster.shards[shard] for shard in wanted if shard not in found)

    def _for_all(self, *arguments: Any) -> dict[int, tuple[Any, ...]]:
        return dict.fromkeys(range(len(self.shards)), arguments)

    def _ask(
        self, method: str, requests: Callable[[ShardedSnapshot], Mapping[int, tuple[Any, ...]]], seconds: float
    ) -> tuple[ShardedSnapshot, dict[int, Any]]:
        """Ask shards, all of them at the commits that this process has opened; return these, and answers by shard."""
        for _ in range(MAX_STALE):
            if self._started != self.cluster.number:  # the index was built again, perhaps with other shards
                self._replicas, self._started = self._start()
            snapshot = self._snapshot
            assert isinstance(snapshot, ShardedSnapshot)
            state = read_state(self.cluster, snapshot)
            wanted = {shard: (state, *own) for shard, own in requests(snapshot).items()}
            found = self._replicas.ask(method, wanted, seconds)
            if not found and wanted:
                raise ClusterError(
                    f"{self.folder}: none of {len(wanted)} shards has answered within {seconds:g} s; see ray status"
                )
            if not any(isinstance(answer, str) for answer in found.values()):
                return snapshot, found
            time.sleep(STALE_SECONDS)
            self.refresh()
        raise ClusterError(f"{self.folder}: changed {MAX_STALE} times during a search; try again ({STALE})")
