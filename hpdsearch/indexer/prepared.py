"""Blocks of documents that another process has split and encoded: a file each, which ingestion stores as it is."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from hpdsearch.common.files import PARTIAL, atomic_write
from hpdsearch.corpus.passages import split_documents
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorruptIndexError
from hpdsearch.records import Document, EncodedDocument, Passage


@dataclass(frozen=True, slots=True)
class PreparedDocument(EncodedDocument):
    """A document that the encoder of the index has encoded; `vectors` are float16, as the vectors file holds them.

    Attributes:
        title_is_truncated: as in `SplitDocument`.
    """

    title_is_truncated: bool = False


def prepare_block(documents: Sequence[Document], encoder: Encoder, path: Path) -> int:
    """Split and encode the documents of a block as ingestion does, and write the result; return their passages.

    Documents without text, and those that bring their vectors, are left to ingestion.

    Args:
        documents: those that ingestion takes as one block, so that the same texts are encoded together.
        encoder: of the index.
        path: the file, whose folder exists. Several processes may write it at the same time.

    Raises:
        OSError: the file cannot be written.
    """
    own = [_needs_vectors(document) for document in documents]
    wanted = [document for document, is_own in zip(documents, own, strict=True) if is_own]
    splits = split_documents(wanted, encoder.token_spans, max_tokens=encoder.max_tokens)
    vectors = encoder.encode([text for split in splits for text in split.texts]).astype("<f2")
    counts = np.zeros(len(documents), np.int64)
    counts[own] = [len(split.passages) for split in splits]
    truncated = np.zeros(len(documents), bool)
    truncated[own] = [split.title_is_truncated for split in splits]
    spans = [(passage.start, passage.end) for split in splits for passage in split.passages]
    arrays = {"counts": counts, "truncated": truncated, "spans": np.array(spans, np.int64).reshape(-1, 2)}
    partial = path.with_name(f"{path.name}.{uuid4().hex}{PARTIAL}")
    with atomic_write(path, partial=partial) as file:
        np.savez(file, allow_pickle=False, vectors=vectors, **arrays)
    return len(vectors)


def _needs_vectors(document: Document) -> bool:
    return not isinstance(document, EncodedDocument) and bool(document.text) and not document.text.isspace()


def count_prepared(path: Path) -> int:
    """Return the number of passages of a block.

    Raises:
        CorruptIndexError: the file is altered.
    """
    return int(_read(path, "counts")[0].sum())


def join_prepared(documents: Sequence[Document], path: Path, space: str) -> Iterator[Document]:
    """Yield the documents of a block with what its file holds for them.

    Raises:
        CorruptIndexError: the file is altered, or belongs to other documents.
    """
    counts, truncated, spans, vectors = _read(path, "counts", "truncated", "spans", "vectors")
    if len(counts) != len(documents):
        raise CorruptIndexError(f"{path}: expected {len(documents)} documents, got {len(counts)}; remove the file")
    start = 0
    for document, n, is_truncated in zip(documents, counts.tolist(), truncated.tolist(), strict=True):
        if not n:
            yield document
            continue
        end = start + n
        yield PreparedDocument(
            document.doc_id,
            document.text,
            document.title,
            document.metadata,
            document.source,
            document.locations,
            tuple(Passage(*span) for span in spans[start:end].tolist()),
            vectors[start:end],
            space,
            is_truncated,
        )
        start = end


def _read(path: Path, *names: str) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptIndexError(
            f"{path}: expected a block of encoded documents, got {error!r}; remove the file and run the command again"
        ) from error
