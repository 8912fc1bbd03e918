"""The states of files that are one document: an update does not read a file again that is as it was.

A file is as it was if size and time of its last change are the same, or else if its bytes are. Bytes are known of the
documents that a process extracts; other files are read in the time that hashing them would take.
"""

from collections.abc import Iterable, Mapping

from hpdsearch.catalog import CatalogWriter, FileState
from hpdsearch.corpus import CorpusReader
from hpdsearch.corpus.sources import Source, hash_content
from hpdsearch.records import Document

# A file that changed so shortly before it was found may change again without another time: file systems count in steps
# of up to two seconds.
SETTLED_NS = 2 * 10**9


class FileStates:
    """Leaves out the files of a corpus that are as they were, and records the states of those that are read.

    Attributes:
        n_recorded: states that were recorded.
    """

    def __init__(self, documents: Iterable[Document], catalog: CatalogWriter) -> None:
        """Take the documents of a corpus; the files of any others are unknown."""
        self._corpus = documents if isinstance(documents, CorpusReader) else None
        self._catalog = catalog
        self._sources: Mapping[str, Source] = {}
        self._reading = ""
        self._started_ns = 0
        self.n_recorded = 0
        if self._corpus is not None:
            self._sources = self._corpus.sources
            self._reading = self._corpus.reading
            self._started_ns = self._corpus.started_ns

    @classmethod
    def of_sources(
        cls, sources: Mapping[str, Source], reading: str, started_ns: int, catalog: CatalogWriter
    ) -> "FileStates":
        """Return the states of files that another process reads.

        Args:
            sources: the files by location; it may grow.
            reading: as `CorpusReader.reading`.
            started_ns: as `CorpusReader.started_ns`.
            catalog: stores the states.
        """
        states = cls((), catalog)
        states._sources = sources
        states._reading = reading
        states._started_ns = started_ns
        return states

    def leave_out_unchanged(self) -> list[int]:
        """Let the corpus not read the files that are as they were; return the numbers of their documents."""
        corpus = self._corpus
        if corpus is None or corpus.is_begun:
            return []
        left_out = []
        touched = []
        for doc, state in self._catalog.file_states(corpus.reading):
            source = corpus.sources.get(state.location)
            if source is None or not source.is_one_document:
                continue
            is_touched = (source.size, source.modified_ns) != (state.size, state.modified)
            if is_touched and not _has_content(source, state):
                continue
            left_out.append(doc)
            if is_touched:
                touched.append((doc, source))
            corpus.leave_out(state.location)
        self._record(touched)
        return left_out

    def record(self, documents: Iterable[tuple[int, Document]]) -> None:
        """Record the files that documents were read from, by the documents' numbers."""
        sources = self._sources
        if self._reading:
            self._record([(doc, sources[each.source]) for doc, each in documents if each.source in sources])

    def _record(self, sources: Iterable[tuple[int, Source]]) -> None:
        settled = self._started_ns - SETTLED_NS
        reading = self._reading
        states = [
            (doc, FileState(source.location, source.size, source.modified_ns, source.content, reading))
            for doc, source in sources
            if source.is_one_document and source.modified_ns < settled
        ]
        self._catalog.record_files(states)
        self.n_recorded += len(states)


def _has_content(source: Source, state: FileState) -> bool:
    """Return whether a file has the bytes that it had; remember them, if it is read."""
    if not state.content or source.size != state.size or source.path is None:
        return False
    try:
        source.content = hash_content(source.path)
    except OSError:
        return False  # its reader words the error
    return source.content == state.content
