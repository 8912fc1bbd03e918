"""Verify an index folder: its files against their checksums, and its parts against one another."""

from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from hpdsearch.catalog import Catalog, SegmentEntry
from hpdsearch.common.files import MAX_READ_ATTEMPTS, file_sha256
from hpdsearch.common.vectors import Rows
from hpdsearch.errors import ChangedIndexError, CorruptIndexError
from hpdsearch.index.shards.cluster_file import is_sharded, read_cluster
from hpdsearch.lexical import corrupt_files
from hpdsearch.search.lexical_files import open_lexical
from hpdsearch.search.opening import file_errors, read_generation
from hpdsearch.search.segment_files import row_map


def find_problems(folder: Path) -> list[str]:
    """Check an index folder; if a writer commits meanwhile, problems make the check begin again.

    Returns:
        a line for each problem; none if the index is intact.

    Raises:
        IndexFolderError: the folder cannot be opened.
    """
    if is_sharded(folder):
        from hpdsearch.index.shards.info import find_shard_problems

        shards = read_cluster(folder).folders(folder)
        found = [problem for shard in shards for problem in find_problems(shard)]
        return found or find_shard_problems(folder, shards)
    problems = [f"{folder}: changed {MAX_READ_ATTEMPTS} times while it was verified; try again when writers are done"]
    with file_errors(folder):
        for _ in range(MAX_READ_ATTEMPTS):
            with suppress(ChangedIndexError):
                with closing(Catalog.open(folder)) as catalog:
                    generation = catalog.meta()["generation"]
                    problems = _problems(folder, catalog)
                if not problems or read_generation(folder) == generation:
                    return problems
    return problems


def _problems(folder: Path, catalog: Catalog) -> list[str]:
    """Return the problems of one generation."""
    if problems := catalog.find_problems():
        return problems
    try:
        rows = (row for stored in catalog.all_documents() for row, _, _ in stored.passages)
        live = np.sort(np.fromiter(rows, np.int64))
        buffered, _ = catalog.buffered_vectors()
    except CorruptIndexError as error:
        return [str(error)]
    entries = catalog.segments()
    for entry in entries:
        problems += _check_file(folder / entry.vectors_file, entry.vectors_bytes, entry.vectors_sha256)
        problems += _check_file(folder / entry.index_file, entry.index_bytes, entry.index_sha256)
    problems += _check_rows(folder, entries, buffered, live, catalog.tombstones())
    return problems + _check_lexical(folder, catalog, live)


def _check_file(path: Path, size_bytes: int, sha256: str) -> list[str]:
    """Check that a file has the size and the checksum that the catalog states."""
    try:
        found = path.stat().st_size
        if found != size_bytes:
            return [f"{path}: expected {size_bytes} bytes, got {found}"]
        if file_sha256(path) != sha256:
            return [f"{path}: does not match its checksum"]
    except FileNotFoundError:
        return [f"{path}: is missing"]
    return []


def _check_rows(folder: Path, entries: list[SegmentEntry], buffered: Rows, live: Rows, tombstones: Rows) -> list[str]:
    """Check that every row of the segments and of the buffer belongs to exactly one passage or is deleted."""
    expected = np.concatenate([*(row_map(entry).all_rows() for entry in entries), buffered])
    if not np.array_equal(np.sort(np.concatenate([live, tombstones])), expected):
        counts = f"{len(expected)} rows in segments and buffer, {len(live)} in passages, {len(tombstones)} deleted"
        return [f"{folder}: the catalog's rows contradict one another ({counts})"]
    return []


def _check_lexical(folder: Path, catalog: Catalog, live: Rows) -> list[str]:
    """Check the lexical files, and that the lexical index holds every live row."""
    try:
        if corrupt := corrupt_files(folder / catalog.meta()["lexical"]):
            return [f"{path}: is missing or does not match its checksum" for path in corrupt]
        rows = open_lexical(folder, catalog).all_rows()
    except CorruptIndexError as error:
        return [str(error)]
    missing = np.setdiff1d(live, rows)
    if len(missing):
        return [f"{folder}: the lexical index lacks {len(missing)} of {len(live)} passages"]
    return []
