"""Describe an index: its documents, encoder, segments, operating points and bytes."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hpdsearch.catalog.connection import beside
from hpdsearch.dense import IndexSpec, OperatingPoints
from hpdsearch.index.encoders import BACKEND
from hpdsearch.indexer.draft import Draft
from hpdsearch.lexical import committed_files
from hpdsearch.search.lexical_files import read_languages
from hpdsearch.search.snapshot import Snapshot

TEACHER_BYTES = 768 * 4  # of one float32 vector of the shipped space's teacher


@dataclass(frozen=True)
class IndexInfo:
    """A description of an index.

    Attributes:
        folder: path of the index folder.
        format: number of the folder's layout.
        generation: number of committed changes.
        n_documents: live documents.
        n_passages: live passages of these documents.
        n_deleted: tombstoned passages, whose vectors are still in the vectors files.
        n_draft: live passages whose vectors are those of a faster encoder; see `Index.refine`.
        n_buffered: newest passages, whose vectors are still in the catalog.
        fields: names of the metadata fields, for filters.
        encoder: name or folder of the encoder of the documents.
        encoder_sha256: checksum of that encoder.
        backend: the backend that encoded the first documents; None: an earlier version did.
        space: id of that encoder's space.
        dim: dimensions of a vector.
        languages: codes of the languages of the documents, which lexical search stems.
        spec: the requested index, by the field names of hpdsearch.IndexSpec.
        segments: for each segment "rows", the fields of its resolved spec, and "operating_points", the measured
            points or None.
        disk_bytes: bytes on disk of documents, lexical, vectors and codes.
        memory_bytes: bytes of codes and inverted lists that a search keeps in memory.
        teacher_memory_bytes: bytes of 768-dimensional float32 vectors of the same passages.
    """

    folder: str
    format: int
    generation: int
    n_documents: int
    n_passages: int
    n_deleted: int
    n_draft: int
    n_buffered: int
    fields: list[str]
    encoder: str
    encoder_sha256: str
    backend: str | None
    space: str
    dim: int
    languages: list[str]
    spec: dict[str, Any]
    segments: list[dict[str, Any]]
    disk_bytes: dict[str, int]
    memory_bytes: int
    teacher_memory_bytes: int

    @property
    def n_shards(self) -> int:
        """Number of shards; 1 for an index without shards."""
        return 1

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def describe(folder: Path, snapshot: Snapshot) -> IndexInfo:
    """Describe an opened snapshot."""
    meta = snapshot.catalog.meta()
    entries = snapshot.catalog.segments()
    n_passages = snapshot.catalog.n_passages()
    disk = {
        "documents": _size_bytes([snapshot.catalog.path, *beside(snapshot.catalog.path)]),
        "lexical": _size_bytes(committed_files(folder / meta["lexical"])),
        "vectors": sum(entry.vectors_bytes for entry in entries),
        "codes": sum(entry.index_bytes for entry in entries),
    }
    return IndexInfo(
        folder=str(folder),
        format=snapshot.catalog.format,
        generation=meta["generation"],
        n_documents=snapshot.catalog.n_documents(),
        n_passages=n_passages,
        n_deleted=len(snapshot.tombstones),
        n_draft=snapshot.catalog.n_passages_between(draft.blocks if (draft := Draft.read(meta)) else ()),
        n_buffered=len(snapshot.catalog.buffered_vectors()[0]),
        fields=snapshot.catalog.fields(),
        encoder=meta["encoder"],
        encoder_sha256=meta["encoder_hash"],
        backend=meta.get(BACKEND),
        space=meta["space"],
        dim=meta["dim"],
        languages=read_languages(meta),
        spec=spec_fields(meta["spec"]),
        segments=[
            {
                "rows": entry.n_rows,
                **spec_fields(entry.spec),
                "operating_points": _operating_points(entry.operating_points),
            }
            for entry in entries
        ],
        disk_bytes=disk,
        memory_bytes=sum(segment.memory_bytes for segment in snapshot.segments),
        teacher_memory_bytes=n_passages * TEACHER_BYTES,
    )


def spec_fields(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a spec by their public names, which may differ from the stored ones."""
    fields = asdict(IndexSpec.from_dict(stored))
    return {name: value.value if isinstance(value, Enum) else value for name, value in fields.items()}


def _operating_points(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the measured points by their public names, which differ from the stored ones."""
    if stored is None:
        return None
    curve = OperatingPoints.from_dict(stored)
    return asdict(curve) | {"points": [asdict(point) for point in curve.points]}


def _size_bytes(paths: Iterable[Path]) -> int:
    """Return the total size of files; a file that a writer removes meanwhile counts 0."""
    size = 0
    for path in paths:
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size
