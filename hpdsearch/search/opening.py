"""Open the committed snapshot of a folder while writers may be at work."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpdsearch.catalog import Catalog
from hpdsearch.common.files import MAX_READ_ATTEMPTS
from hpdsearch.dense import BufferedVectors, Segment
from hpdsearch.errors import ChangedIndexError, CorruptIndexError, IndexFolderError
from hpdsearch.search.lexical_files import open_lexical
from hpdsearch.search.segment_files import open_segment
from hpdsearch.search.snapshot import Snapshot

logger = logging.getLogger(__name__)


def open_snapshot(folder: Path, previous: Snapshot | None = None, *, with_vectors: bool = True) -> Snapshot:
    """Open the committed snapshot; if a writer commits meanwhile and removes files, open the next one.

    Args:
        folder: an index folder.
        previous: a snapshot of the same folder; its segments that are still active are reused.
        with_vectors: open the vectors and their codes too; without them, the snapshot has no segments.

    Raises:
        IndexFolderError: the folder holds no committed index, one of another format, or changes all the time.
        CorruptIndexError: a file is missing or altered.
    """
    with file_errors(folder):
        for _ in range(MAX_READ_ATTEMPTS):
            with suppress(ChangedIndexError):
                if (snapshot := _open_unless_changed(folder, previous, with_vectors)) is not None:
                    return snapshot
    raise IndexFolderError(
        f"{folder}: changed {MAX_READ_ATTEMPTS} times while it was opened; try again when writers are done"
    )


@contextmanager
def file_errors(folder: Path) -> Iterator[None]:
    """Convert the system's errors of a block that reads an index folder to IndexFolderErrors that say what to do."""
    try:
        yield
    except PermissionError as error:
        raise IndexFolderError(
            f"{error.filename or folder}: cannot be read ({error.strerror}); its owner can allow it: "
            f"chmod -R a+rX {folder}"
        ) from error
    except OSError as error:
        raise IndexFolderError(
            f"{error.filename or folder}: cannot be read ({error.strerror}); check the disk"
        ) from error


def _open_unless_changed(folder: Path, previous: Snapshot | None, with_vectors: bool) -> Snapshot | None:
    """Open the committed snapshot; return None if a writer commits meanwhile."""
    catalog = Catalog.open(folder)
    generation = catalog.meta()["generation"]
    try:
        snapshot = _assemble(folder, catalog, previous, with_vectors)
    except (CorruptIndexError, FileNotFoundError, RuntimeError):  # faiss raises RuntimeError for a removed file
        catalog.close()
        if read_generation(folder) == generation:
            raise
        return None
    except BaseException:
        catalog.close()
        raise
    if read_generation(folder) != generation:
        catalog.close()
        return None
    logger.info("%s: opened generation %d, %d segments", folder, generation, len(snapshot.segments))
    return snapshot


def read_generation(folder: Path) -> int:
    """Return the number of committed transactions of a folder.

    Raises:
        IndexFolderError: the folder holds no committed index, or one of another format.
    """
    catalog = Catalog.open(folder)
    try:
        return int(catalog.meta()["generation"])
    finally:
        catalog.close()


def _assemble(folder: Path, catalog: Catalog, previous: Snapshot | None, with_vectors: bool) -> Snapshot:
    """Open the files that a catalog names."""
    meta = catalog.meta()
    reusable = {}
    lexical = None
    if previous is not None:
        # The buffered vectors are the last of previous.segments and have no entry.
        pairs = zip(previous.entries, previous.segments, strict=False)
        reusable = {(entry.index_file, entry.index_sha256): segment for entry, segment in pairs}
        lexical = previous.lexical
    entries = catalog.segments()
    segments: list[Segment | BufferedVectors] = [
        reusable.get((entry.index_file, entry.index_sha256)) or open_segment(folder, entry, meta["dim"])
        for entry in (entries if with_vectors else ())
    ]
    rows, stored = catalog.buffered_vectors()
    if len(rows) and with_vectors:
        segments.append(BufferedVectors(rows, stored))
    reader = open_lexical(folder, catalog, previous=lexical)
    return Snapshot(catalog, segments, reader, entries, catalog.tombstones())
