"""Incoming documents: each is checked, and gets the doc_id under which the index holds its source.

A document with an id of its own (`"id": 7`) keeps it. Any other document is identified by its source: it has the doc_id
that the index stores for this source; if there is none, the shortest ending of its location that no other source has.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import length_hint
from pathlib import Path
from typing import Any, Protocol

from hpdsearch.catalog import WithdrawnDocument
from hpdsearch.corpus.locations import (
    extend_left,
    find_location,
    is_ending,
    is_gone,
    is_stream,
    list_endings,
    may_be_unmounted,
    number_stream,
    split_line,
    to_posix,
)
from hpdsearch.corpus.skipping import OnError, Skipped
from hpdsearch.errors import CorpusError
from hpdsearch.indexer.document_check import require_document
from hpdsearch.records import Document

N_STREAMS = "n_streams"  # setting: number of streams whose documents were added


class StoredDocuments(Protocol):
    """Looks up stored documents; `CatalogWriter` has these methods."""

    def next_doc(self) -> int:
        """Return the number of the next document; 0: nothing is stored."""

    def stored_sources(self, doc_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return document number and source by doc_id, for the existing documents among these."""

    def sources_by_stem(self, stems: Sequence[str], location: str, *, has_lines: bool) -> dict[str, str]:
        """Return a stored source by stem, for those of these stems that are in use."""

    def find_withdrawn(self, place: str, doc_id: str | None = None) -> WithdrawnDocument | None:
        """Return the withdrawn document of a place; None: there is none."""

    def has_stream(self) -> bool:
        """Return whether a document comes from standard input."""


class Settings(Protocol):
    """The settings and the stored documents of an index that is changed; `Transaction` has them."""

    @property
    def catalog(self) -> StoredDocuments:
        """The stored documents."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """The settings."""

    def set_meta(self, **settings: Any) -> None:
        """Change settings."""


class IncomingDocuments:
    """Iterates over documents, checks them, and gives those without an id of their own the doc_id of their source.

    Attributes:
        moved_from: files that are gone and whose doc_ids went to other files.
        skipped_files: files of which a document was skipped because it cannot be stored.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        txn: Settings,
        skipped: Skipped,
        *,
        on_error: OnError,
        streams_are_new: bool,
    ) -> None:
        """Prepare the iteration.

        Args:
            documents: the documents as they were read.
            txn: the transaction that will store them.
            skipped: counts documents that are skipped because they cannot be stored.
            on_error: what such a document does.
            streams_are_new: number streams after the stored ones; False: they are the stored ones of these names.
        """
        self.moved_from: set[str] = set()
        self.skipped_files: set[str] = set()
        self._skipped = skipped
        self._on_error = on_error
        self._documents = documents
        self._catalog = txn.catalog
        self._streams = _Streams(txn, streams_are_new)
        self._nothing_is_stored = txn.catalog.next_doc() == 0
        self._stems_of_lines: dict[tuple[str, str], str] = {}
        self._new_stems: dict[str, str] = {}

    def __length_hint__(self) -> int:
        return length_hint(self._documents, 0)

    def __iter__(self) -> Iterator[Document]:
        for position, document in enumerate(self._documents):
            try:
                require_document(document, position)
            except CorpusError as error:
                self._skipped.add_or_raise(error, self._on_error)
                self.skipped_files.add(split_line(str(getattr(document, "source", "")))[0])
                continue
            yield self._identify(document)

    def _identify(self, document: Document) -> Document:
        location, line = split_line(document.source)
        if is_stream(location):
            source = self._streams.number(location) + line
            return replace(document, doc_id=source if has_generated_id(document) else document.doc_id, source=source)
        if self._nothing_is_stored or not has_generated_id(document):
            return document
        doc_id = self._find_stem(document, location, line) + line
        return document if doc_id == document.doc_id else replace(document, doc_id=doc_id)

    def _find_stem(self, document: Document, location: str, line: str) -> str:
        """Return the doc_id of a file without the line; all lines of a file get the same."""
        stem = document.doc_id.removesuffix(line)
        if not line:
            return self._stored_stem(document, stem, location, line) or self._free_stem(stem, location, line)
        key = (stem, location)
        if key not in self._stems_of_lines:
            stored = self._stored_stem(document, stem, location, line)
            self._stems_of_lines[key] = stored or self._free_stem(stem, location, line)
        return self._stems_of_lines[key]

    def _stored_stem(self, document: Document, stem: str, location: str, line: str) -> str | None:
        """Return the stem under which the index holds this file, or held it before a record replaced it."""
        for list_candidates in (_list_stem, _list_other_stems):  # the second is slow and seldom needed
            candidates = list_candidates(stem, location)
            stored = self._catalog.sources_by_stem(candidates, location, has_lines=bool(line))
            for candidate, source in stored.items():
                if is_same_file(split_line(source)[0], location):
                    return candidate
        withdrawn = self._catalog.find_withdrawn(document.source)
        for doc_id, (_, source) in self._catalog.stored_sources([withdrawn.doc_id] if withdrawn else []).items():
            if not is_ending(doc_id, source):
                return doc_id.removesuffix(line)  # a record replaced the document
        return None

    def _free_stem(self, stem: str, location: str, line: str) -> str:
        """Return the shortest ending of a location, from stem on, that belongs to no other file that exists."""
        while True:
            taken_by = self._new_stems.get(stem + line[:1], location)
            held = self._catalog.sources_by_stem([stem], location, has_lines=bool(line)).get(stem)
            if taken_by == location and (held is None or self._is_moved(stem, line, held)):
                break
            if stem == location:
                break
            stem = extend_left(stem, location)
        self._new_stems[stem + line[:1]] = location
        return stem

    def _is_moved(self, stem: str, line: str, held: str) -> bool:
        """Return whether the file of a stored source was moved away, so that its doc_id is free; record it then."""
        location, held_line = split_line(held)
        is_moved = bool(held_line) == bool(line) and is_ending(stem, location) and has_moved(location)
        if is_moved:
            self.moved_from.add(location)
        return is_moved


class _Streams:
    """Numbers the streams of one run: a stream that is added never has the location of a stored one."""

    def __init__(self, txn: Settings, are_new: bool) -> None:
        self._txn = txn
        self._are_new = are_new
        self._locations: dict[str, str] = {}

    def number(self, location: str) -> str:
        """Return the location in the index of a stream of this run."""
        if location not in self._locations:
            n_stored = self._txn.meta.get(N_STREAMS)
            if n_stored is None:  # an earlier version added them
                n_stored = int(self._txn.catalog.has_stream())
            if self._are_new:
                self._locations[location] = number_stream(n_stored + 1)
                self._txn.set_meta(**{N_STREAMS: n_stored + 1})
            else:
                self._locations[location] = location
                self._txn.set_meta(**{N_STREAMS: max(n_stored, len(self._locations))})
        return self._locations[location]


def _list_stem(stem: str, location: str) -> list[str]:
    return [stem]


def _list_other_stems(stem: str, location: str) -> list[str]:
    """Return the other doc_ids under which a file may be stored; earlier versions stored relative paths as written."""
    relative = to_posix(os.path.relpath(location))
    return [other for other in (*list_endings(location), relative, f"./{relative}") if other != stem]


def has_generated_id(document: Document) -> bool:
    """Return whether a doc_id was made from the source; a record's own id is no ending of its source."""
    return is_ending(document.doc_id, document.source)


def is_same_file(stored: str, location: str) -> bool:
    """Return whether a stored location is that of a file; earlier versions stored relative paths as written."""
    if stored == location:
        return True
    if not stored or is_stream(stored) or is_stream(location):
        return False
    if Path(stored).is_absolute() or Path(stored).exists():
        return find_location(stored) == location
    return is_ending(to_posix(os.path.normpath(stored)), location)


def has_moved(location: str) -> bool:
    """Return whether a stored file is gone for certain: not on a volume that may be unmounted, nor a relative path."""
    return Path(location).is_absolute() and is_gone(location) and not may_be_unmounted(location)
