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
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.corpus.sources import Source, SourceType
from hpdsearch.index.shards.cluster_file import choose_shard
from hpdsearch.records import Document, EncodedDocument, Passage

SPOOL = "spool"  # folder inside that of the index


@dataclass
class SpooledShard:
    """The documents of one shard.

    Attributes:
        path: the file.
        n_documents: documents in it.
        digest: of the documents in their order, in hexadecimal.
    """

    path: Path
    n_documents: int = 0
    digest: str = ""


@dataclass
class SpooledDocuments:
    """Iterates over the documents of a shard, any number of times.

    Attributes:
        path: the file.
        n_documents: documents in it.
        sources: the files that are one document, by location, as far as their documents were read.
    """

    path: Path
    n_documents: int
    sources: dict[str, Source] = field(default_factory=dict)

    def __length_hint__(self) -> int:
        return self.n_documents

    def __iter__(self) -> Iterator[Document]:
        with self.path.open("rb") as file:
            for line in file:
                values, state = json.loads(line)
                document = _read_document(values)
                if state is not None:
                    self.sources[document.source] = _read_source(document.source, *state)
                yield document


def write_spool(
    folder: Path, documents: Iterable[Document], n_shards: int, sources: Mapping[str, Source]
) -> list[SpooledShard]:
    """Write documents to the files of their shards.

    Args:
        folder: the folder of the spool; it is made again.
        documents: with their final doc_ids; consumed once.
        n_shards: number of shards.
        sources: the files that documents were read from, by location; their states go with the documents.

    Raises:
        OSError: the disk is full.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shards = [SpooledShard(folder / f"documents-{number:05d}.jsonl") for number in range(n_shards)]
    digests = [hashlib.sha256() for _ in shards]
    with ExitStack() as stack:
        files = [stack.enter_context(shard.path.open("wb")) for shard in shards]
        for document in documents:
            number = choose_shard(document.doc_id, n_shards)
            values = json.dumps(_describe_document(document))
            source = sources.get(document.source)
            is_file = source is not None and source.is_one_document
            state = [source.size, source.modified_ns, source.content] if source is not None and is_file else None
            files[number].write(f"[{values}, {json.dumps(state)}]\n".encode())
            digests[number].update(values.encode())
            shards[number].n_documents += 1
    for shard, digest in zip(shards, digests, strict=True):
        shard.digest = digest.hexdigest()
    return shards


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
