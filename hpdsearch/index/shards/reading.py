"""Read the documents of a build once, check them, and divide them among the shards."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from hpdsearch.common.progress import Bar
from hpdsearch.corpus import CorpusReader, OnError
from hpdsearch.corpus.skipping import Skipped
from hpdsearch.errors import CorpusError
from hpdsearch.index.shards.spool import SpooledShard, write_spool
from hpdsearch.index.shards.stored import AllShards
from hpdsearch.indexer.incoming import N_STREAMS, IncomingDocuments
from hpdsearch.indexer.ingest import split_in_blocks
from hpdsearch.lexical import detect_languages
from hpdsearch.records import Document


@dataclass
class Reading:
    """The result of one reading.

    Attributes:
        shards: the documents of each shard.
        languages: of all shards.
        n_duplicates: documents with the title and text of another one, in whatever shard.
        skipped: documents that cannot be stored.
        n_streams: streams among the sources.
        reading: as `CorpusReader.reading`; "": the documents come from no files.
        started_ns: as `CorpusReader.started_ns`.
    """

    shards: list[SpooledShard]
    languages: list[str]
    n_duplicates: int
    skipped: Skipped
    n_streams: int = 0
    reading: str = ""
    started_ns: int = 0

    @property
    def n_documents(self) -> int:
        """Documents of all shards."""
        return sum(shard.n_documents for shard in self.shards)


@runtime_checkable
class DividesItself(Protocol):
    """Documents that are read and divided elsewhere."""

    def divide(self, spool: Path, n_shards: int, languages: Sequence[str], block_documents: int) -> Reading:
        """Divide the documents among the files of a spool; the arguments are those of `read_documents`."""


Corpus = Iterable[Document] | DividesItself


class TextHashes:
    """Hashes of title and text of documents: those of equal ones may lie in different shards."""

    def __init__(self) -> None:
        """Begin without documents."""
        self._texts = array("Q")

    def add(self, document: Document) -> int | None:
        """Remember a document; return its hash, None if it has no text."""
        if not document.text or document.text.isspace():
            return None
        content = f"{len(document.title)} {document.title}{document.text}".encode()
        text_hash = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
        self._texts.append(text_hash)
        return text_hash

    def tobytes(self) -> bytes:
        """Return the hashes, 8 bytes each."""
        return self._texts.tobytes()

    @property
    def n_duplicates(self) -> int:
        """Documents with the title and text of another one."""
        return len(self._texts) - len(np.unique(np.frombuffer(self._texts, np.uint64))) if self._texts else 0


def read_documents(
    spool: Path,
    documents: Iterable[Document],
    n_shards: int,
    *,
    strict: bool,
    on_error: OnError,
    languages: Sequence[str],
    block_documents: int,
    bar: Bar,
) -> Reading:
    """Read documents in this process.

    Args:
        spool: the folder of the spool; it is made again.
        documents: consumed once.
        n_shards: number of shards.
        strict: as in `Index.build`.
        on_error: as in `Index.build`.
        languages: of the documents; none: those of their first block.
        block_documents: most documents of a block of the spool.
        bar: counts documents.

    Raises:
        CorpusError: a document cannot be stored, and errors stop; or it breaks a rule of `strict`.
    """
    corpus = documents if isinstance(documents, CorpusReader) else None
    index = AllShards()
    skipped = Skipped()
    incoming = IncomingDocuments(documents, index, skipped, on_error=on_error, streams_are_new=True)
    found = list(languages)
    hashes = TextHashes()
    first: dict[int, str] = {}

    def each() -> Iterator[Document]:
        for block in split_in_blocks(incoming):
            if not found:
                found.extend(detect_languages([document.text for document in block]))
            for document in block:
                text_hash = hashes.add(document)
                if strict and text_hash is not None:
                    _require_first(first.setdefault(text_hash, document.doc_id), document)
                yield document
            bar.update(len(block))

    shards = write_spool(spool, each(), n_shards, corpus.sources if corpus else {}, block_documents=block_documents)
    n_streams = int(index.meta.get(N_STREAMS, 0))
    reading = corpus.reading if corpus else ""
    started_ns = corpus.started_ns if corpus else 0
    return Reading(shards, found, hashes.n_duplicates, skipped, n_streams, reading, started_ns)


def _require_first(same: str, document: Document) -> None:
    """Raise CorpusError if another document has the title and text of this one."""
    if same != document.doc_id:
        where = document.source or f"document {document.doc_id!r}"
        raise CorpusError(f"{where}: has the title and text of {same!r}; fix it, or leave out --strict (strict=False)")
