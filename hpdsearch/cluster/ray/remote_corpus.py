"""Read files at URLs (s3://, gs://, file://) on a cluster: a task each reads a file and divides its documents.

Documents never pass through the process of the command. Their ids are their own, or the URL of the file with the line.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.corpus import OnError, ReadOptions, ReadStats, Skipped, read_corpus
from hpdsearch.errors import CorpusError, HpdsearchError
from hpdsearch.index.shards.reading import Reading, TextHashes
from hpdsearch.index.shards.spool import SpooledBlock, SpooledDocuments, SpooledShard, write_shard, write_spool
from hpdsearch.index.shards.worker import make_error
from hpdsearch.indexer.document_check import require_document
from hpdsearch.indexer.incoming import has_generated_id
from hpdsearch.indexer.ingest import split_in_blocks
from hpdsearch.lexical import detect_languages
from hpdsearch.records import Document


def is_url(name: str) -> bool:
    """Return whether a name is a URL."""
    return "://" in name


@dataclass(frozen=True)
class RemoteCorpus:
    """Files at URLs.

    Attributes:
        urls: of the files, in their order.
        options: how they are read.
        strict: whether empty and duplicate documents are errors.
        stats: counts of what is read.
    """

    urls: tuple[str, ...]
    options: ReadOptions
    strict: bool = False
    stats: ReadStats = field(default_factory=ReadStats)

    @property
    def on_error(self) -> OnError:
        """The effect of a record that cannot be read."""
        return self.options.on_error

    def divide(self, spool: Path, n_shards: int, languages: Sequence[str], block_documents: int) -> Reading:
        """Divide the documents among shards.

        Args:
            spool: a folder that all nodes see.
            n_shards: number of shards.
            languages: of the documents; none: those of the first block of documents of the first file.
            block_documents: most documents of a block.

        Raises:
            CorpusError: a file cannot be read, or a document breaks a rule of `strict`.
        """
        import ray
        import ray.data

        spool.mkdir(exist_ok=True)
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"number": number, "url": url} for number, url in enumerate(self.urls)]
        read = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            read_file, fn_args=(str(spool.absolute()), n_shards, self.options, self.strict)
        )
        parts = sorted(read.iter_rows(), key=lambda row: int(row["number"]))
        for part in parts:
            if part["message"]:
                raise make_error(part["error"], part["message"])
        merge = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(join_parts)
        names = [str(part_folder(spool.absolute(), number)) for number in range(len(rows))]
        merged = ray.get(
            [merge.remote(names, str(spool.absolute()), shard, block_documents) for shard in range(n_shards)]
        )
        hashes = np.concatenate([np.frombuffer(part["hashes"], np.uint64) for part in parts])
        n_duplicates = len(hashes) - len(np.unique(hashes))
        if self.strict and n_duplicates:
            raise CorpusError(
                f"{n_duplicates} documents have the title and text of another one; fix them, or leave out --strict"
            )
        skipped = Skipped()
        for part in parts:
            skipped.count += int(part["n_skipped"])
            skipped.reasons += list(part["reasons"])
            self.stats.n_empty += int(part["n_empty"])
        found = languages or next((list(part["languages"]) for part in parts if len(part["languages"])), [])
        return Reading([_read_shard(values) for values in merged], list(found), n_duplicates, skipped)


def find_files(names: Iterable[str], options: ReadOptions, strict: bool) -> RemoteCorpus:
    """Return the files of URLs; those of folders and of patterns with * in the order of their names.

    Raises:
        CorpusError: there is no such file, or the package that reads such URLs is not installed.
    """
    import fsspec

    urls: list[str] = []
    for name in names:
        try:
            files, path = fsspec.core.url_to_fs(name)
            found = files.glob(path) if "*" in path else files.find(path)
        except (ImportError, ValueError, OSError) as error:
            raise CorpusError(f"{name}: cannot be read ({error})") from error
        if not found:
            raise CorpusError(f"{name}: expected a file, a folder or a pattern with *, got nothing")
        urls += [files.unstrip_protocol(each) for each in sorted(found)]
    return RemoteCorpus(tuple(urls), options, strict)


def part_folder(spool: Path, number: int) -> Path:
    """Return the folder of the documents of one file."""
    return spool / f"part-{number:06d}"


def read_file(row: dict[str, Any], spool: str, n_shards: int, options: ReadOptions, strict: bool) -> dict[str, Any]:
    """Read one file and write its documents, divided among the shards; an error of hpdsearch is a row too."""
    number = int(row["number"])
    result = {"number": number, "error": "", "message": "", "hashes": b"", "languages": [""][:0], "reasons": [""][:0]}
    result |= {"n_skipped": 0, "n_empty": 0}
    stats = ReadStats()
    hashes = TextHashes()
    languages: list[str] = []

    def each() -> Iterator[Document]:
        for block in split_in_blocks(_read_url(row["url"], options, strict, stats)):
            if not languages:
                languages.extend(detect_languages([document.text for document in block]))
            for document in block:
                hashes.add(document)
                yield document

    try:
        write_spool(part_folder(Path(spool), number), each(), n_shards, {})
    except HpdsearchError as error:
        return result | {"error": type(error).__name__, "message": str(error)}
    counts = {"n_skipped": stats.skipped.count, "n_empty": stats.n_empty, "reasons": stats.skipped.reasons}
    return result | counts | {"hashes": hashes.tobytes(), "languages": languages}


def _read_url(url: str, options: ReadOptions, strict: bool, stats: ReadStats) -> Iterator[Document]:
    """Yield the documents of a file, which is copied to a temporary folder of this node meanwhile."""
    import fsspec

    with tempfile.TemporaryDirectory(prefix="hpdsearch-") as folder:
        path = Path(folder) / url.rstrip("/").rpartition("/")[2]
        files, remote = fsspec.core.url_to_fs(url)
        try:
            files.get_file(remote, str(path))
        except OSError as error:
            raise CorpusError(f"{url}: cannot be read ({error})") from error
        local = os.path.realpath(path)
        try:
            for position, document in enumerate(read_corpus(path, options, strict=strict, stats=stats)):
                placed = _place(document, local, url)
                try:
                    require_document(placed, position)
                except CorpusError as error:
                    stats.skipped.add_or_raise(error, options.on_error)
                    continue
                yield placed
        except CorpusError as error:
            raise CorpusError(str(error).replace(str(path), url).replace(local, url)) from error


def _place(document: Document, local: str, url: str) -> Document:
    """Return the document with its URL as its source, and as its id if it has none of its own."""
    source = url + document.source.removeprefix(local)
    return replace(document, source=source, doc_id=source if has_generated_id(document) else document.doc_id)


def join_parts(parts: Sequence[str], spool: str, shard: int, block_documents: int) -> dict[str, Any]:
    """Join the documents of one shard in the order of the files, and return them as a SpooledShard in JSON values."""
    name = f"documents-{shard:05d}.jsonl"
    paths = [Path(part) / name for part in parts]

    def each() -> Iterator[Document]:
        for path in paths:
            yield from SpooledDocuments(path, 0)

    merged = write_shard(Path(spool) / name, each(), block_documents)
    return {**asdict(merged), "path": str(merged.path)}


def _read_shard(values: dict[str, Any]) -> SpooledShard:
    blocks = [SpooledBlock(**block) for block in values["blocks"]]
    return SpooledShard(Path(values["path"]), values["n_documents"], values["digest"], blocks)
