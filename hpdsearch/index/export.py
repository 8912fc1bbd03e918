"""Write the documents of an index, with their passages and vectors, in the formats of other programs (docs/export.md).

Parquet and JSON Lines have a record a document, and `read_encoded` reads them back. The formats of search engines have
a record a passage, since each of their records has one vector.
"""

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.corpus.encoded import ENCODER_KEY, SPACE_KEY
from hpdsearch.errors import IndexFolderError
from hpdsearch.indexer.draft import Draft
from hpdsearch.records import EncodedDocument, Passage
from hpdsearch.search.exact_scores import read_vectors
from hpdsearch.search.snapshot import Snapshot

BLOCK_DOCUMENTS = 500
DECIMALS = 8  # of a component in JSON: float16, which the index stores, has steps of at least 6e-8
NAMESPACE = uuid.UUID("6f1d3c1e-52f7-5a0e-9c1c-6a7f1f0b6c55")  # of the ids of passages


class ExportFormat(str, Enum):
    """The formats that an index is exported to."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    QDRANT_JSONL = "qdrant-jsonl"
    OPENSEARCH_BULK = "opensearch-bulk"


@dataclass(frozen=True)
class _Origin:
    """The encoder and the space of exported vectors."""

    encoder: str
    space: str


def encoded_documents(snapshot: Snapshot) -> Iterator[EncodedDocument]:
    """Yield the documents of a snapshot with their passages and vectors, in the order in which they were added.

    Raises:
        IndexFolderError: the index is a draft, whose vectors are not those of its encoder yet.
        CorruptIndexError: a document or a vector does not match its checksum.
    """
    meta = snapshot.catalog.meta()
    if Draft.read(meta) is not None:
        folder = snapshot.catalog.path.parent
        raise IndexFolderError(f"{folder}: is a draft; refine it first: hpdsearch refine {folder}")
    stored = snapshot.catalog.all_documents(BLOCK_DOCUMENTS)
    while block := list(islice(stored, BLOCK_DOCUMENTS)):
        rows = np.array([row for each in block for row, _, _ in each.passages], np.int64)
        order = np.argsort(rows)
        vectors = np.empty((len(rows), meta["dim"]), np.float32)
        vectors[order] = read_vectors(snapshot, rows[order])
        first = 0
        for each in block:
            document = each.document
            end = first + len(each.passages)
            yield EncodedDocument(
                doc_id=document.doc_id,
                text=document.text,
                title=document.title,
                metadata=document.metadata,
                source=document.source,
                locations=document.locations,
                passages=tuple(Passage(start, stop) for _, start, stop in each.passages),
                vectors=vectors[first:end],
                space=meta["space"],
            )
            first = end


def export_snapshot(snapshot: Snapshot, to: ExportFormat, file: BinaryIO, progress: Progress = SILENT) -> int:
    """Write the documents of a snapshot to a file, a block in memory at a time; return their number.

    Raises:
        MissingExtraError: Parquet needs pyarrow.
        IndexFolderError: the index is a draft.
        CorruptIndexError: a document or a vector does not match its checksum.
    """
    meta = snapshot.catalog.meta()
    origin = _Origin(meta["encoder"], meta["space"])
    bar = progress.phase("exporting", total=snapshot.catalog.n_documents(), unit="doc")
    n_documents = 0

    def count(documents: Iterable[EncodedDocument]) -> Iterator[EncodedDocument]:
        nonlocal n_documents
        for document in documents:
            n_documents += 1
            bar.update(1)
            yield document

    documents = count(encoded_documents(snapshot))
    if to is ExportFormat.PARQUET:
        from hpdsearch.index.export_parquet import write_parquet

        write_parquet(documents, file, {SPACE_KEY: origin.space, ENCODER_KEY: origin.encoder}, meta["dim"])
    else:
        for document in documents:
            file.write(_format_lines(document, to, origin))
    bar.close()
    return n_documents


def _format_lines(document: EncodedDocument, to: ExportFormat, origin: _Origin) -> bytes:
    """Return the lines of one document."""
    assert document.vectors is not None
    vectors = document.vectors.astype(np.float64).round(DECIMALS).tolist()
    if to is ExportFormat.JSONL:
        records: list[Any] = [_describe_document(document, vectors, origin)]
    else:
        describe = _describe_point if to is ExportFormat.QDRANT_JSONL else _describe_action
        records = []
        for number, (passage, vector) in enumerate(zip(document.passages, vectors, strict=True)):
            key = str(uuid.uuid5(NAMESPACE, f"{number} {document.doc_id}"))
            records += describe(key, _describe_passage(document, passage), vector)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _describe_document(document: EncodedDocument, vectors: list[list[float]], origin: _Origin) -> dict[str, Any]:
    return {
        "id": document.doc_id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "source": document.source,
        **({"locations": [list(each) for each in document.locations]} if document.locations else {}),
        "passages": [{"start": passage.start, "end": passage.end} for passage in document.passages],
        "vectors": vectors,
        "encoder": origin.encoder,
        "space": origin.space,
    }


def _describe_passage(document: EncodedDocument, passage: Passage) -> dict[str, Any]:
    return {
        "doc_id": document.doc_id,
        "title": document.title,
        "text": document.text[passage.start : passage.end],
        "start": passage.start,
        "end": passage.end,
        "metadata": dict(document.metadata),
        "source": document.source,
    }


def _describe_point(key: str, passage: dict[str, Any], vector: list[float]) -> list[Any]:
    """Return a point of Qdrant."""
    return [{"id": key, "vector": vector, "payload": passage}]


def _describe_action(key: str, passage: dict[str, Any], vector: list[float]) -> list[Any]:
    """Return an action of OpenSearch's bulk API and its document."""
    return [{"index": {"_id": key}}, {**passage, "vector": vector}]
