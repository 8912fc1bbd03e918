"""The catalogs of several shards, read as one.

The shards of an index have disjoint rows, but each numbers its documents from 0. Here a document has the number of its
shard before its own: `shard * SHARD_STEP + doc`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import numpy as np

from hpdsearch.catalog.filter_check import SelectFromAll, field_names
from hpdsearch.catalog.reader import Catalog, compile_filter
from hpdsearch.catalog.schema import FILE_NAME, SegmentEntry, StoredDocument
from hpdsearch.common.vectors import Rows, Stored

T = TypeVar("T")
CLUSTER_FILE = "cluster.json"  # names the shards of an index (hpdsearch.index.shards.cluster_file)
SHARD_STEP = 1 << 40  # rows and documents that a shard can number
DRAFT = "draft"  # the setting of hpdsearch.indexer.draft; its blocks are rows, so those of all shards are one list


def holds_index(folder: Path) -> bool:
    """Return whether a folder holds an index, with or without shards.

    Raises:
        PermissionError: this user may not see it.
    """
    return (folder / FILE_NAME).is_file() or (folder / CLUSTER_FILE).is_file()


class ShardedCatalog(Catalog):
    """The catalogs of all shards as one snapshot, for reading. Rows are as the shards have them.

    Attributes:
        shards: the catalogs, in the order of the shards; shard i holds rows from i * SHARD_STEP on.
    """

    def __init__(self, path: Path, shards: Sequence[Catalog]) -> None:
        """Take the open catalogs of all shards, and the file that names the shards."""
        self.path = path
        self.shards = shards
        self.lock = RLock()

    @property
    def is_inherited(self) -> bool:  # type: ignore[override]
        """Whether a parent of this process opened the catalogs before the fork."""
        return any(shard.is_inherited for shard in self.shards)

    @property
    def is_open(self) -> bool:
        """Whether all connections are open."""
        return all(shard.is_open for shard in self.shards)

    def close(self) -> None:
        """Release the snapshot."""
        for shard in self.shards:
            shard.close()

    def leave_to_parent(self) -> None:
        """Do nothing: each shard leaves its own connection."""

    def follow_commits(self) -> None:
        """Give up the snapshot: each read from now on sees the newest commits."""
        for shard in self.shards:
            shard.follow_commits()

    def generation(self) -> int:
        """Return the number of committed transactions of all shards."""
        return sum(shard.generation() for shard in self.shards)

    def meta(self) -> dict[str, Any]:
        """Return the settings of the first shard, with the generation and the draft of all."""
        metas = [shard.meta() for shard in self.shards]
        drafts = [meta[DRAFT] for meta in metas if meta.get(DRAFT)]
        blocks = [block for draft in drafts for block in draft["blocks"]]
        return {
            **metas[0],
            "generation": sum(meta["generation"] for meta in metas),
            DRAFT: {**drafts[0], "blocks": blocks} if drafts else None,
        }

    def segments(self) -> list[SegmentEntry]:
        """Return the active segments of all shards; their files lie in the folders of the shards."""
        return [entry for shard in self.shards for entry in shard.segments()]

    def tombstones(self, first_row: int = 0, end_row: int = 2**63 - 1) -> Rows:
        """Return the deleted rows first_row <= row < end_row that a segment still holds: (n,), ascending."""
        return np.concatenate([shard.tombstones(first_row, end_row) for shard in self.shards])

    def buffered_vectors(self) -> tuple[Rows, Stored]:
        """Return the buffered rows (n,), ascending, and their vectors (n, dim), float16."""
        found = [shard.buffered_vectors() for shard in self.shards]
        filled = [vectors for rows, vectors in found if len(rows)] or [np.empty((0, 0), "<f2")]
        return np.concatenate([rows for rows, _ in found]), np.concatenate(filled)

    def n_documents(self) -> int:
        """Count the documents."""
        return sum(shard.n_documents() for shard in self.shards)

    def n_passages(self) -> int:
        """Count the passages of all documents."""
        return sum(shard.n_passages() for shard in self.shards)

    def n_passages_between(self, blocks: Iterable[tuple[int, int]]) -> int:
        """Return the number of passages in these blocks of rows, each within one shard."""
        return sum(self.shards[first // SHARD_STEP].n_passages_between([(first, end)]) for first, end in blocks)

    def fields(self) -> list[str]:
        """Return the names of the metadata fields that have a value, sorted."""
        return field_names(self._select)

    def frequent_values(self, field: str, n: int) -> list[tuple[str, int]]:
        """Return the n most frequent values of a metadata field, of at most 200 characters, with their numbers."""
        counts: Counter[str] = Counter()
        for shard in self.shards:
            counts.update(dict(shard.frequent_values(field, -1)))  # SQLite: no limit
        return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:n]

    def docs_of_rows(self, rows: Rows) -> dict[int, int]:
        """Return the document number by row, for the live rows among these."""
        found: dict[int, int] = {}
        for shard, own in self._split(np.asarray(rows, np.int64).tolist()):
            first = shard * SHARD_STEP
            docs = self.shards[shard].docs_of_rows(np.array(own, np.int64))
            found.update((row, first + doc) for row, doc in docs.items())
        return found

    def docs_by_row(self, docs: Sequence[int]) -> dict[int, int]:
        """Return the document of each row that holds a passage of one of these documents."""
        found: dict[int, int] = {}
        for shard, own in self._split_docs(docs):
            first = shard * SHARD_STEP
            found.update((row, first + doc) for row, doc in self.shards[shard].docs_by_row(own).items())
        return found

    def doc_ids(self, docs: Sequence[int]) -> dict[int, str]:
        """Return the doc_id by document number."""
        return self._by_doc(docs, lambda catalog, own: catalog.doc_ids(own))

    def passages_between(self, first_row: int, end_row: int) -> list[tuple[int, int, int, int]]:
        """Return (row, document number, start, end) of the passages in rows first_row <= row < end_row, ascending."""
        return [
            (row, number * SHARD_STEP + doc, start, end)
            for number, shard in enumerate(self.shards)
            for row, doc, start, end in shard.passages_between(first_row, end_row)
        ]

    def documents(self, docs: Sequence[int]) -> dict[int, StoredDocument]:
        """Return the existing documents among these numbers, by number; compare each with its checksum."""
        found = self._by_doc(docs, lambda catalog, own: catalog.documents(own))
        return {doc: replace(stored, doc=doc) for doc, stored in found.items()}

    def all_documents(self, block: int = 1000) -> Iterator[StoredDocument]:
        """Yield all documents, shard by shard, by number."""
        for number, shard in enumerate(self.shards):
            for stored in shard.all_documents(block):
                yield replace(stored, doc=number * SHARD_STEP + stored.doc)

    def doc_numbers(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the document number by doc_id, for the existing documents among these."""
        return {
            doc_id: number * SHARD_STEP + doc
            for number, shard in enumerate(self.shards)
            for doc_id, doc in shard.doc_numbers(doc_ids).items()
        }

    def stored_sources(self, doc_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return document number and source by doc_id, for the existing documents among these."""
        return {
            doc_id: (number * SHARD_STEP + doc, source)
            for number, shard in enumerate(self.shards)
            for doc_id, (doc, source) in shard.stored_sources(doc_ids).items()
        }

    def rows_where(self, where: str) -> Rows:
        """Return the rows of all documents that match a filter: (n,), ascending.

        Raises:
            FilterError: the filter cannot be parsed, names a field that no document has, or can never match.
        """
        condition = compile_filter(where, self._select)
        return np.concatenate([shard.rows_meeting(*condition) for shard in self.shards])

    def count_where(self, where: str) -> int:
        """Count the documents that match a filter. Raises FilterError as `rows_where` does."""
        condition = compile_filter(where, self._select)
        return sum(shard.count_meeting(*condition) for shard in self.shards)

    def find_problems(self) -> list[str]:
        """Return a line for each problem of each catalog."""
        return [problem for shard in self.shards for problem in shard.find_problems()]

    @property
    def _select(self) -> SelectFromAll:
        return SelectFromAll([shard.select for shard in self.shards])

    def _split(self, numbers: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Yield each shard with its rows or documents among these; numbers of no shard are left out."""
        by_shard: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            by_shard[number // SHARD_STEP].append(number)
        for shard, own in sorted(by_shard.items()):
            if 0 <= shard < len(self.shards):
                yield shard, own

    def _split_docs(self, docs: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Yield each shard with the numbers that these documents have there."""
        for shard, own in self._split(docs):
            yield shard, [doc - shard * SHARD_STEP for doc in own]

    def _by_doc(self, docs: Sequence[int], read: Callable[[Catalog, list[int]], dict[int, T]]) -> dict[int, T]:
        found: dict[int, T] = {}
        for shard, own in self._split_docs(docs):
            found.update((shard * SHARD_STEP + doc, value) for doc, value in read(self.shards[shard], own).items())
        return found


class OneShardCatalog(ShardedCatalog):
    """The catalogs of all shards, of which one is searched: filters are checked against all, and match its rows.

    Attributes:
        number: of the searched shard.
    """

    def __init__(self, path: Path, shards: Sequence[Catalog], number: int) -> None:
        """Take the open catalogs of all shards, the file that names them, and the number of one."""
        super().__init__(path, shards)
        self.number = number

    def rows_where(self, where: str) -> Rows:
        """Return the rows of the shard's documents that match a filter; see `ShardedCatalog.rows_where`."""
        return self.shards[self.number].rows_meeting(*compile_filter(where, self._select))

    def tombstones(self, first_row: int = 0, end_row: int = 2**63 - 1) -> Rows:
        """Return the deleted rows of the shard that a segment still holds: (n,), ascending."""
        return self.shards[self.number].tombstones(first_row, end_row)
