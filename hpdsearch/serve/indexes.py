"""The indexes of the service: opened once, kept up to date, changed by one thread each."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hpdsearch.encoder import Encoder
from hpdsearch.encoder.threads import usable_cores
from hpdsearch.errors import HpdsearchError, QueryError, ServeError
from hpdsearch.index import Index
from hpdsearch.records import Document, Hit
from hpdsearch.serve.batching import Answer, SearchOptions, SearchQueue
from hpdsearch.serve.description import describe_index
from hpdsearch.serve.encoders import LoadedEncoders
from hpdsearch.serve.errors import RETRY_SECONDS, ServiceError, translate
from hpdsearch.serve.filters import refuse_source
from hpdsearch.serve.result_map import place_documents
from hpdsearch.serve.settings import Limits

logger = logging.getLogger(__name__)
T = TypeVar("T")

REFRESH_SECONDS = 2.0  # an idle index gives up its old snapshot, so that writers can shorten SQLite's log
FAILURE_SECONDS = 5.0  # after an index could not be refreshed, searches do not try again for so long


class ServedIndex:
    """One index folder. Searches and changes run in threads of their own; a search never waits for a change.

    Attributes:
        name: of the index in requests.
        folder: its folder, which no answer shows.
        is_current: whether its last commit could be opened.
    """

    def __init__(
        self,
        folder: Path,
        encoders: LoadedEncoders,
        limits: Limits,
        on_batch: Callable[[int], object] | None = None,
        open_index: Callable[..., Index] = Index.open,
    ) -> None:
        """Open the index and load its encoder; `open_index` opens it with an encoder.

        Raises:
            HpdsearchError: the index cannot be opened, or its encoder not be loaded.
        """
        self.name = folder.resolve().name
        self.folder = folder
        self._limits = limits
        self._encoders = encoders
        self._open_index = open_index
        self._index = self._open()
        self._retry_at = 0.0
        self.is_current = True
        self._n_writes = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="read")
        self._description: tuple[int, dict[str, Any]] | None = None
        self._queue = SearchQueue(self._search, n_threads=usable_cores(), on_batch=on_batch)

    async def search(self, texts: Sequence[str], options: SearchOptions) -> Answer:
        """Search with several queries.

        Raises:
            ServiceError: as in `errors`.
        """
        with self._translated():
            return await self._queue.run(texts, options)

    async def like(self, doc_id: str, options: SearchOptions) -> list[Hit]:
        """Find the documents like one of the index.

        Raises:
            ServiceError: the index holds no such document (404), or as in `errors`.
        """
        return await self._run(self._readers, partial(self._like, doc_id, options))

    async def place(self, doc_ids: Sequence[str], query: str | None) -> dict[str, Any]:
        """Return the places of documents and of a query on a map, as JSON values.

        Raises:
            ServiceError: the index holds no such document (404), or as in `errors`.
        """
        return await self._run(self._readers, partial(self._place, doc_ids, query))

    async def get(self, doc_id: str) -> Document:
        """Return a document.

        Raises:
            ServiceError: the index holds no such document (404).
        """
        found = await self._run(self._readers, lambda: self._fresh().get(doc_id))
        if found is None:
            raise self.missing(doc_id)
        return found

    async def describe(self) -> dict[str, Any]:
        """Return what is known about the index, as JSON values."""
        return await self._run(self._readers, self._describe)

    async def count(self) -> int:
        """Return the number of documents."""
        return await self._run(self._readers, lambda: len(self._fresh()))

    async def write(self, change: Callable[[Index], T]) -> T:
        """Change the index in its writer thread, after the changes that came before; searches go on meanwhile.

        Raises:
            ServiceError: too many changes wait (429), another process writes (409), or as in `errors`.
        """
        if self._n_writes >= self._limits.max_writes:
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ServiceError(429, f"{self.name}: {self._n_writes} changes are at work; try again", headers)
        self._n_writes += 1
        try:
            return await self._run(self._writer, lambda: change(self._fresh()))
        finally:
            self._n_writes -= 1

    async def refresh(self) -> None:
        """Open what another process has committed."""
        await self._run(self._readers, self._fresh)

    def encoder(self) -> Encoder:
        """Return the loaded encoder of the index."""
        return self._encoders.load(self._index.stored_encoder[0])

    def close(self) -> None:
        """End the running searches and changes, and close the files."""
        self._queue.close()
        self._writer.shutdown()
        self._readers.shutdown()
        self._index.close()

    def translate(self, error: HpdsearchError) -> ServiceError:
        """Return the answer to an error of this index."""
        return translate(error, self.name, [str(self.folder), str(self.folder.absolute()), str(self.folder.resolve())])

    def _open(self) -> Index:
        with self._open_index(self.folder) as opened:
            encoder = self._encoders.load(opened.stored_encoder[0])
        index = self._open_index(self.folder, encoder=encoder)
        index.wait = self._limits.write_seconds
        return index

    def _fresh(self) -> Index:
        """Return the index with its last commit; if that cannot be opened, with the commit before."""
        if time.monotonic() < self._retry_at:
            return self._index
        try:
            if self._index.refresh() and not self._encoders.fits(self._index):
                self._index = self._open()  # another index, of another encoder, has taken its place
            self.is_current = True
        except (HpdsearchError, OSError) as error:
            self._retry_at = time.monotonic() + FAILURE_SECONDS
            self.is_current = False
            logger.error("%s: the last commit cannot be opened, so the one before is searched: %s", self.name, error)
        return self._index

    def _search(self, texts: Sequence[str], options: SearchOptions) -> list[list[Hit]]:
        index = self._fresh()
        refuse_source(options.where, index)
        return index.search(
            texts,
            options.k,
            where=options.where,
            mode=options.mode,
            ann_recall=options.ann_recall,
            min_score=options.min_score,
            explain=options.explain,
        )

    def _like(self, doc_id: str, options: SearchOptions) -> list[Hit]:
        index = self._fresh()
        refuse_source(options.where, index)
        if index.get(doc_id) is None:
            raise self.missing(doc_id)
        limits = {"ann_recall": options.ann_recall, "min_score": options.min_score}
        return index.like(doc_id, options.k, where=options.where, **limits)

    def _place(self, doc_ids: Sequence[str], query: str | None) -> dict[str, Any]:
        index = self._fresh()
        try:
            vectors = index.vectors(doc_ids)
        except QueryError as error:  # a document does not exist
            raise ServiceError(404, str(self.translate(error).detail)) from error
        of_query = None
        if query is not None and vectors:
            encoder = self._encoders.load(index.stored_encoder[0])
            of_query = encoder.truncate(vectors[0].shape[1]).encode_queries([query])
        documents, place_of_query = place_documents(vectors, of_query)
        return {"documents": documents, "query": place_of_query}

    def _describe(self) -> dict[str, Any]:
        generation = self._fresh().generation
        if self._description is None or self._description[0] != generation:
            self._description = (generation, describe_index(self.name, self._index))
        return self._description[1]

    def missing(self, doc_id: str) -> ServiceError:
        """Return the answer to a request for a document that the index does not hold."""
        return ServiceError(404, f"{self.name}: holds no document {doc_id[:200]!r}")

    async def _run(self, executor: Executor, function: Callable[[], T]) -> T:
        with self._translated():
            return await asyncio.get_running_loop().run_in_executor(executor, function)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except HpdsearchError as error:
            raise self.translate(error) from error


class Indexes:
    """The indexes of the service by name. A request names one of them; it never names a folder."""

    def __init__(
        self,
        folders: Sequence[Path],
        limits: Limits,
        on_batch: Callable[[int], object] | None = None,
        open_index: Callable[..., Index] = Index.open,
    ) -> None:
        """Open all indexes, each by `open_index`.

        Raises:
            ServeError: there is none, or two have one name.
            HpdsearchError: one cannot be opened.
        """
        if not folders:
            raise ServeError("expected at least one index folder, got none")
        self.encoders = LoadedEncoders()
        self._by_name: dict[str, ServedIndex] = {}
        try:
            for folder in folders:
                name = folder.resolve().name
                if name in self._by_name:
                    raise ServeError(f"{folder}: another index has the name {name!r} too; rename one of the folders")
                self._by_name[name] = ServedIndex(folder, self.encoders, limits, on_batch, open_index)
        except BaseException:
            self.close()
            raise

    @property
    def by_name(self) -> Mapping[str, ServedIndex]:
        """The indexes by name."""
        return self._by_name

    def find(self, name: str | None) -> ServedIndex:
        """Return the index of a name; without a name the only one.

        Raises:
            ServiceError: there is no such index (404), or the request must name one (422).
        """
        if name is None and len(self._by_name) == 1:
            return next(iter(self._by_name.values()))
        names = ", ".join(sorted(self._by_name))
        if name is None:
            raise ServiceError(422, f"index: expected one of {names}")
        if name not in self._by_name:
            raise ServiceError(404, f"there is no index {name[:200]!r}; indexes: {names}")
        return self._by_name[name]

    async def refresh_forever(self) -> None:
        """Open what other processes commit, also while nobody searches."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for index in self._by_name.values():
                try:
                    await index.refresh()
                except Exception:  # it must go on with the other indexes, and with this one later
                    logger.exception("%s: cannot be refreshed", index.name)

    def close(self) -> None:
        """Close all indexes."""
        for index in self._by_name.values():
            index.close()
