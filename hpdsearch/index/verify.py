"""Read an index folder back against its sums, and count its parts against one another."""

from contextlib import closing
from pathlib import Path

import numpy as np

from hpdsearch.catalog import Catalog, SegmentEntry
from hpdsearch.common.files import file_sha256
from hpdsearch.common.vectors import Rows
from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical import corrupt_files
from hpdsearch.search.lexical_files import open_words
from hpdsearch.search.segment_files import row_map

_ATTEMPTS = 50


def find_problems(folder: Path) -> list[str]:
    """Return one line for each thing that is not as it was written; empty: the index is whole.

    A writer may be at work; what it brings into force meanwhile makes the check begin again.

    Raises:
        IndexFolderError: the folder cannot be opened at all.
    """
    problems: list[str] = []
    for _ in range(_ATTEMPTS):
        with closing(Catalog.open(folder)) as catalog:
            generation = catalog.meta()["generation"]
            problems = _problems(folder, catalog)
        if not problems:
            break
        with closing(Catalog.open(folder)) as catalog:
            if catalog.meta()["generation"] == generation:
                break
    return problems


def _problems(folder: Path, catalog: Catalog) -> list[str]:
    if problems := catalog.find_problems():
        return problems
    try:
        rows = (row for stored in catalog.all_documents() for row, _, _ in stored.passages)
        live = np.sort(np.fromiter(rows, np.int64))
        waiting, _ = catalog.buffered_vectors()
    except CorruptIndexError as error:
        return [str(error)]
    entries = catalog.segments()
    for entry in entries:
        problems += _check_file(folder / entry.vectors_file, entry.vectors_bytes, entry.vectors_sha256)
        problems += _check_file(folder / entry.index_file, entry.index_bytes, entry.index_sha256)
    problems += _check_rows(folder, entries, waiting, live, catalog.tombstones())
    return problems + _check_lexical(folder, catalog, live)


def _check_file(path: Path, size_bytes: int, sha256: str) -> list[str]:
    try:
        found = path.stat().st_size
        if found != size_bytes:
            return [f"{path}: expected {size_bytes} bytes, got {found}"]
        if file_sha256(path) != sha256:
            return [f"{path}: is not what was written (its sum differs)"]
    except FileNotFoundError:
        return [f"{path}: is missing"]
    return []


def _check_rows(folder: Path, entries: list[SegmentEntry], waiting: Rows, live: Rows, dead: Rows) -> list[str]:
    """Every row of every segment, and every one that waits, must belong to one passage or be deleted."""
    expected = np.concatenate([*(row_map(entry).all_rows() for entry in entries), waiting])
    if not np.array_equal(np.sort(np.concatenate([live, dead])), expected):
        counts = f"{len(expected)} rows in segments, {len(live)} in passages, {len(dead)} deleted"
        return [f"{folder}: the catalog's parts do not fit together ({counts})"]
    return []


def _check_lexical(folder: Path, catalog: Catalog, live: Rows) -> list[str]:
    try:
        if altered := corrupt_files(folder / catalog.meta()["lexical"]):
            return [f"{path}: is missing or not what was written (its sum differs)" for path in altered]
        held = open_words(folder, catalog).all_rows()
    except CorruptIndexError as error:
        return [str(error)]
    missing = np.setdiff1d(live, held)
    if len(missing):
        return [f"{folder}: the lexical index lacks {len(missing)} of {len(live)} passages"]
    return []
