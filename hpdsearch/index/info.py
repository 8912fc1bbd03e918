"""What an index is and what it takes."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpdsearch.search.snapshot import Snapshot

TEACHER_BYTES = 768 * 4  # of one vector


@dataclass(frozen=True)
class IndexInfo:
    """What an index is and what it takes.

    Attributes:
        folder: its place.
        format: number of the folder's layout.
        generation: how many changes were committed.
        n_documents: documents that can be found, n_passages in all.
        n_deleted: passages deleted or replaced whose vectors still lie in the files.
        n_buffered: the latest passages, whose vectors still lie in the catalog.
        fields: names of the metadata fields, for filters.
        encoder: name or folder of the encoder of the documents; encoder_hash its sum; space the id of its space.
        dim: numbers a vector.
        spec: the index that was asked for (hpdsearch.dense.IndexSpec).
        segments: of each segment its rows, the spec that was settled on, and the measured curve or None.
        disk_bytes: bytes on disk by part (documents, words, vectors, codes).
        memory_bytes: bytes of codes and lists that searching keeps in memory.
        teacher_memory_bytes: what 768-wide float32 vectors of the same passages would take.
    """

    folder: str
    format: int
    generation: int
    n_documents: int
    n_passages: int
    n_deleted: int
    n_buffered: int
    fields: list[str]
    encoder: str
    encoder_hash: str
    space: str
    dim: int
    spec: dict[str, Any]
    segments: list[dict[str, Any]]
    disk_bytes: dict[str, int]
    memory_bytes: int
    teacher_memory_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def describe(folder: Path, state: Snapshot) -> IndexInfo:
    """Describe an opened state."""
    meta, entries, n_passages = state.catalog.meta(), state.catalog.segments(), state.catalog.n_passages()
    disk = {
        "documents": _size_bytes(folder.glob("catalog.sqlite*")),
        "words": _size_bytes((folder / meta["lexical"]).glob("*")),
        "vectors": sum(entry.vectors_bytes for entry in entries),
        "codes": sum(entry.index_bytes for entry in entries),
    }
    return IndexInfo(
        folder=str(folder),
        format=state.catalog.format,
        generation=meta["generation"],
        n_documents=state.catalog.n_documents(),
        n_passages=n_passages,
        n_deleted=len(state.tombstones),
        n_buffered=len(state.catalog.buffered_vectors()[0]),
        fields=state.catalog.fields(),
        encoder=meta["encoder"],
        encoder_hash=meta["encoder_hash"],
        space=meta["space"],
        dim=meta["dim"],
        spec=meta["spec"],
        segments=[{"rows": entry.n_rows, **entry.spec, "curve": entry.operating_points} for entry in entries],
        disk_bytes=disk,
        memory_bytes=sum(segment.memory_bytes for segment in state.segments),
        teacher_memory_bytes=n_passages * TEACHER_BYTES,
    )


def _size_bytes(paths: Iterable[Path]) -> int:
    """Sum the sizes of files; those that a writer removes meanwhile count nothing."""
    size = 0
    for path in paths:
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size
