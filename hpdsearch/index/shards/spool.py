"""The spool: the documents of one reading, divided by shard, in files that the processes of a build read.

It is a folder of JSON Lines, one file a shard, which the build removes at its end. It takes as much room as the texts.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.corpus.sources import Source, SourceType
from hpdsearch.index.shards.cluster_file import choose_shard
from hpdsearch.indexer.ingest import BLOCK_DOCUMENTS, BlockSizes
from hpdsearch.indexer.prepared import join_prepared
from hpdsearch.records import Document, EncodedDocument, Passage

SPOOL = "spool"  # folder inside that of the index


@dataclass
class SpooledBlock:
    """Documents of a shard that ingestion takes as one block.

    Attributes:
        start: first byte in the file of the shard.
        end: byte behind the last one.
        n_documents: documents.
        digest: of the documents in their order, in hexadecimal.
    """

    start: int
    end: int
    n_documents: int
    digest: str


@dataclass
class SpooledShard:
    """The documents of one shard.

    Attributes:
        path: the file.
        n_documents: documents in it.
        digest: of the documents in their order, in hexadecimal.
        blocks: its documents in blocks, in their order.
    """

    path: Path
    n_documents: int = 0
    digest: str = ""
    blocks: list[SpooledBlock] = field(default_factory=list)


@dataclass
class SpooledDocuments:
    """Iterates over the documents of a shard, any number of times.

    Attributes:
        path: the file.
        n_documents: documents in it.
        sources: the files that are one document, by location, as far as their documents were read.
        prepared: the file and the number of documents of each encoded block, in their order; none: none is encoded.
        space: id of the space of the encoded blocks.
    """

    path: Path
    n_documents: int
    sources: dict[str, Source] = field(default_factory=dict)
    prepared: Sequence[tuple[str, int]] = ()
    space: str = ""

    def __length_hint__(self) -> int:
        return self.n_documents

    def __iter__(self) -> Iterator[Document]:
        lines = self._read_lines()
        for path, n_documents in self.prepared:
            yield from join_prepared(list(islice(lines, n_documents)), Path(path), self.space)
        yield from lines

    def _read_lines(self) -> Iterator[Document]:
        with self.path.open("rb") as file:
            for line in file:
                values, state = json.loads(line)
                document = _read_document(values)
                if state is not None:
                    self.sources[document.source] = _read_source(document.source, *state)
                yield document


def write_spool(
    folder: Path,
    documents: Iterable[Document],
    n_shards: int,
    sources: Mapping[str, Source],
    *,
    block_documents: int = BLOCK_DOCUMENTS,
) -> list[SpooledShard]:
    """Write documents to the files of their shards.

    Args:
        folder: the folder of the spool; it is made again.
        documents: with their final doc_ids; consumed once.
        n_shards: number of shards.
        sources: the files that documents were read from, by location; their states go with the documents.
        block_documents: most documents of a block.

    Raises:
        OSError: the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shards = [SpooledShard(folder / f"documents-{number:05d}.jsonl") for number in range(n_shards)]
    with ExitStack() as stack:
        files = [_ShardFile(shard, stack, block_documents) for shard in shards]
        for document in documents:
            number = choose_shard(document.doc_id, n_shards)
            values = json.dumps(_describe_document(document))
            source = sources.get(document.source)
            is_file = source is not None and source.is_one_document
            state = [source.size, source.modified_ns, source.content] if source is not None and is_file else None
            files[number].add(document, values, state)
        for file in files:
            file.finish()
    return shards


class _ShardFile:
    """Writes the documents of one shard, and notes where its blocks are."""

    def __init__(self, shard: SpooledShard, stack: ExitStack, block_documents: int) -> None:
        self._shard = shard
        self._block_documents = block_documents
        self._file = stack.enter_context(shard.path.open("wb"))
        self._digest = hashlib.sha256()
        self._block = hashlib.sha256()
        self._sizes = BlockSizes(self._block_documents)
        self._start = 0

    def add(self, document: Document, values: str, state: Sequence[int | None] | None) -> None:
        encoded = values.encode()
        self._file.write(b"[" + encoded + f", {json.dumps(state)}]\n".encode())
        self._digest.update(encoded)
        self._block.update(encoded)
        self._shard.n_documents += 1
        if self._sizes.add(document):
            self._end_block()

    def _end_block(self) -> None:
        end = self._file.tell()
        self._shard.blocks.append(SpooledBlock(self._start, end, self._sizes.n_documents, self._block.hexdigest()))
        self._start = end
        self._block = hashlib.sha256()
        self._sizes = BlockSizes(self._block_documents)

    def finish(self) -> None:
        if self._sizes.n_documents:
            self._end_block()
        self._shard.digest = self._digest.hexdigest()


def read_block(path: Path, start: int, end: int) -> list[Document]:
    """Return the documents in these bytes of the file of a shard."""
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read(end - start).splitlines()
    return [_read_document(json.loads(line)[0]) for line in lines]


def write_shard(path: Path, documents: Iterable[Document], block_documents: int = BLOCK_DOCUMENTS) -> SpooledShard:
    """Write the documents of one shard, which have no states of files; the rest is as in `write_spool`."""
    shard = SpooledShard(path)
    with ExitStack() as stack:
        file = _ShardFile(shard, stack, block_documents)
        for document in documents:
            file.add(document, json.dumps(_describe_document(document)), None)
        file.finish()
    return shard


def remove_spool(folder: Path) -> None:
    """Remove the folder of a spool, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)


def _describe_document(document: Document) -> list[Any]:
    values: list[Any] = [document.doc_id, document.text, document.title, dict(document.metadata), document.source]
    values.append([list(location) for location in document.locations])
    if isinstance(document, EncodedDocument):
        vectors = np.asarray(document.vectors)
        values.append(
            {
                "passages": [[passage.start, passage.end] for passage in document.passages],
                "dtype": vectors.dtype.str,
                "shape": list(vectors.shape),
                "vectors": base64.b64encode(np.ascontiguousarray(vectors).tobytes()).decode(),
                "space": document.space,
            }
        )
    return values


def _read_document(values: Sequence[Any]) -> Document:
    doc_id, text, title, metadata, source, locations, *encoded = values
    places = tuple((start, label) for start, label in locations)
    if not encoded:
        return Document(doc_id, text, title, metadata, source, places)
    found = encoded[0]
    vectors = np.frombuffer(base64.b64decode(found["vectors"]), found["dtype"]).reshape(found["shape"])
    passages = tuple(Passage(start, end) for start, end in found["passages"])
    return EncodedDocument(doc_id, text, title, metadata, source, places, passages, vectors, found["space"])


def _read_source(location: str, size: int, modified_ns: int, content: int) -> Source:
    return Source(
        name=location,
        location=location,
        doc_id=location,
        path=None,
        kind=SourceType.PAGE,
        ending="",
        size=size,
        modified_ns=modified_ns,
        content=content,
    )
