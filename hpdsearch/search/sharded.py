"""The snapshots of several shards as one: searches run on it as on the snapshot of one index, with equal results.

A search asks the segments of all shards at the same time, in threads.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hpdsearch.catalog import SHARD_STEP, ShardedCatalog
from hpdsearch.common.files import MAX_READ_ATTEMPTS
from hpdsearch.common.forks import PerProcess
from hpdsearch.dense.faiss_factory import count_cores
from hpdsearch.errors import ChangedIndexError, CorruptIndexError, IndexFolderError
from hpdsearch.lexical import ShardedLexicalReader
from hpdsearch.search.opening import open_snapshot, read_generation
from hpdsearch.search.snapshot import Snapshot

A = TypeVar("A")
R = TypeVar("R")

_threads = PerProcess(lambda: ThreadPoolExecutor(count_cores(), "hpdsearch-shards"))


@dataclass
class ShardedSnapshot(Snapshot):
    """One committed generation of each shard.

    Attributes:
        shards: the snapshots of the shards, in their order.
    """

    shards: Sequence[Snapshot] = ()

    def map_segments(self, search: Callable[[A], R], segments: Iterable[A]) -> Iterator[R]:
        """Apply a function to all segments at the same time; yield its results in their order."""
        return map(search, segments) if count_cores() == 1 else _threads.get().map(search, segments)


def open_sharded_snapshot(
    path: Path,
    folders: Sequence[Path],
    previous: Snapshot | None = None,
    *,
    with_vectors: Collection[int] | None = None,
) -> ShardedSnapshot:
    """Open the committed snapshots of all shards.

    Args:
        path: the file that names the shards.
        folders: the folders of the shards, in their order.
        previous: an earlier snapshot of the same shards; what is still active is reused.
        with_vectors: open the vectors and codes of these shards only; None: of all.

    Raises:
        IndexFolderError: a shard holds no committed index, one of another format, or changes all the time.
        CorruptIndexError: a file is missing or altered, or a shard has the rows of another one.
    """
    before = previous.shards if isinstance(previous, ShardedSnapshot) else ()
    older: Sequence[Snapshot | None] = before if len(before) == len(folders) else [None] * len(folders)
    for _ in range(MAX_READ_ATTEMPTS):
        shards: list[Snapshot] = []
        try:
            for number, (folder, old) in enumerate(zip(folders, older, strict=True)):
                is_wanted = with_vectors is None or number in with_vectors
                shards.append(open_snapshot(folder, old, with_vectors=is_wanted))
            return _join(path, shards)
        except BaseException as error:
            generations = [shard.catalog.generation() for shard in shards]
            for shard in shards:
                shard.catalog.close()
            if not isinstance(error, CorruptIndexError | ChangedIndexError | FileNotFoundError):
                raise
            with suppress(ChangedIndexError):
                if generations == [read_generation(folder) for folder in folders[: len(generations)]]:
                    raise
    raise IndexFolderError(
        f"{path.parent}: changed {MAX_READ_ATTEMPTS} times while it was opened; try again when writers are done"
    )


def _join(path: Path, shards: Sequence[Snapshot]) -> ShardedSnapshot:
    """Return the snapshots of all shards as one."""
    for number, shard in enumerate(shards):
        _require_rows(shard, number)
    catalog = ShardedCatalog(path, [shard.catalog for shard in shards])
    segments = [one for shard in shards for one in shard.segments]  # ascending by row
    entries = [entry for shard in shards for entry in shard.entries]
    lexical = ShardedLexicalReader([shard.lexical for shard in shards])
    return ShardedSnapshot(catalog, segments, lexical, entries, catalog.tombstones(), shards=shards)


def _require_rows(shard: Snapshot, number: int) -> None:
    """Check that a shard numbers its rows as the shard of this number does, so that no other one has its rows."""
    next_row = shard.catalog.meta().get("next_row", 0)
    if not number * SHARD_STEP <= next_row < (number + 1) * SHARD_STEP:
        raise CorruptIndexError(
            f"{shard.catalog.path.parent}: expected shard {number}, got the rows of "
            f"{f'shard {next_row // SHARD_STEP}' if next_row else 'an index without shards'}; restore the folder, or "
            "index again with --overwrite"
        )
