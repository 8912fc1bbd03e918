"""Opening what is committed in a folder now, whatever writers do meanwhile."""

import logging
from pathlib import Path

from hpdsearch.catalog import Catalog
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.errors import CorruptIndexError, IndexFolderError
from hpdsearch.search.lexical_files import open_words
from hpdsearch.search.segment_files import open_segment
from hpdsearch.search.snapshot import Snapshot

logger = logging.getLogger(__name__)

_ATTEMPTS = 50


def open_snapshot(folder: Path, previous: Snapshot | None = None) -> Snapshot:
    """Open the committed state; a writer may commit and sweep meanwhile, then it is opened again.

    Args:
        folder: an index folder.
        previous: a state of the same folder; what is still in force of it is used again.

    Raises:
        IndexFolderError: the folder holds no committed index, or one of another format.
        CorruptIndexError: a file is missing or altered.
    """
    for _ in range(_ATTEMPTS):
        catalog = Catalog.open(folder)
        generation = catalog.meta()["generation"]
        try:
            state = _assemble(folder, catalog, previous)
        except (
            CorruptIndexError,
            FileNotFoundError,
            RuntimeError,
        ):  # the last is faiss's where a file has just been swept
            catalog.close()
            if generation_of(folder) == generation:
                raise
            continue
        if generation_of(folder) == generation:
            logger.info("%s: opened generation %d, %d segments", folder, generation, len(state.segments))
            return state
        catalog.close()
    raise IndexFolderError(f"{folder}: changed {_ATTEMPTS} times while it was opened; try again when writers are done")


def generation_of(folder: Path) -> int:
    """Return how many changes of a folder are committed now."""
    catalog = Catalog.open(folder)
    try:
        return int(catalog.meta()["generation"])
    finally:
        catalog.close()


def _assemble(folder: Path, catalog: Catalog, previous: Snapshot | None) -> Snapshot:
    meta = catalog.meta()
    opened, words = {}, None
    if previous is not None:
        entries = previous.catalog.segments()
        opened = {(e.index_file, e.index_sha256): s for e, s in zip(entries, previous.segments, strict=False)}
        words = previous.lexical
    segments: list[Segment | BufferedVectors] = [
        opened.get((entry.index_file, entry.index_sha256)) or open_segment(folder, entry, meta["dim"])
        for entry in catalog.segments()
    ]
    rows, stored = catalog.buffered_vectors()
    if len(rows):
        segments.append(BufferedVectors(rows, stored))
    return Snapshot(catalog, segments, open_words(folder, catalog, before=words), catalog.tombstones())
