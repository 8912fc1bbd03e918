"""Read an index folder back against its sums, and count its parts against one another."""

from pathlib import Path

import numpy as np

from hpdsearch.catalog import Catalog, SegmentEntry
from hpdsearch.errors import DamagedError
from hpdsearch.files import sha256_of
from hpdsearch.lexical import LexicalReader, altered_files


def find_problems(folder: Path) -> list[str]:
    """Return one line for each thing that is not as it was written; empty: the index is whole.

    Raises:
        FolderError: the folder cannot be opened at all.
    """
    catalog = Catalog.open(folder)
    try:
        if problems := catalog.problems():
            return problems
        try:
            live = [row for stored in catalog.all_documents() for row, _, _ in stored.passages]
        except DamagedError as error:
            return [str(error)]
        entries, lexical = catalog.segments(), folder / catalog.meta()["lexical"]
        for entry in entries:
            problems += _check_file(folder / entry.vectors_file, entry.vectors_bytes, entry.vectors_sha256)
            problems += _check_file(folder / entry.index_file, entry.index_bytes, entry.index_sha256)
        problems += _check_rows(folder, entries, live, catalog.tombstones().tolist())
        return problems + _check_lexical(lexical, np.array(live, np.int64))
    finally:
        catalog.close()


def _check_file(path: Path, size_bytes: int, sha256: str) -> list[str]:
    if not path.is_file():
        return [f"{path}: is missing"]
    if path.stat().st_size != size_bytes:
        return [f"{path}: expected {size_bytes} bytes, got {path.stat().st_size}"]
    if sha256_of(path) != sha256:
        return [f"{path}: is not what was written (its sum differs)"]
    return []


def _check_rows(folder: Path, entries: list[SegmentEntry], live: list[int], dead: list[int]) -> list[str]:
    """Every row of every segment must belong to one passage or be deleted."""
    expected = [row for entry in entries for row in range(entry.first_row, entry.first_row + entry.n_rows)]
    if sorted(live + dead) != expected:
        counts = f"{len(expected)} rows in segments, {len(live)} in passages, {len(dead)} deleted"
        return [f"{folder}: the catalog's parts do not fit together ({counts})"]
    return []


def _check_lexical(folder: Path, live: np.ndarray) -> list[str]:
    if altered := altered_files(folder):
        return [f"{path}: is not what was written (its sum differs)" for path in altered]
    try:
        held = LexicalReader(folder).all_rows()
    except DamagedError as error:
        return [str(error)]
    missing = np.setdiff1d(live, held)
    if len(missing):
        return [f"{folder}: the lexical index lacks {len(missing)} of {len(live)} passages"]
    return []
