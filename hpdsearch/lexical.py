"""Words -> rows: BM25 over title and text, English stemming (Tantivy). Derived from the catalog, keyed by row.

One lexical document is one passage with its document's title. Readers hold the searcher that they opened: what a writer
commits or removes afterwards does not reach them.
"""

import json
import os
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tantivy

from hpdsearch.errors import DamagedError
from hpdsearch.files import BLOCK

_TOKENIZER = "hpdsearch_english"
_LONGEST_WORD = 255  # bytes; longer runs of letters are data, not words
_FOOTER_MAGIC = 1337  # tantivy, directory/footer.rs
_ENDINGS = ("term", "idx", "pos", "fieldnorm", "fast", "store")  # the files of one segment
_ATTEMPTS = 50
_WRITER_BYTES = 64_000_000
_REMOVE_ROWS = 10_000  # named in one query
Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name=_TOKENIZER, index_option="freq")
    return builder.build()


@cache
def _analyzer(stop_words: bool = True) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    builder = builder.filter(tantivy.Filter.remove_long(_LONGEST_WORD))
    builder = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold())
    if not stop_words:
        builder = builder.filter(tantivy.Filter.stopword("english"))
    return builder.filter(tantivy.Filter.stemmer("english")).build()


def query_stems(text: str) -> list[str]:
    """Return the word stems that a query looks for: without stop words, unless it has nothing else."""
    return _analyzer(stop_words=False).analyze(text) or _analyzer().analyze(text)


def highlights(query: str, passage: str) -> tuple[tuple[int, int], ...]:
    """Return the (start, end) characters of the words in passage that share a stem with the query, ascending."""
    wanted = set(query_stems(query))
    tokens = _analyzer().pre_tokenize(passage).tokens
    return tuple((t.char_offset_from, t.char_offset_to or 0) for t in tokens if t.text in wanted)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn what Tantivy raises on damaged files into DamagedError."""
    try:
        yield
    except BaseException as error:
        # A panic of Tantivy's is a BaseException whose class cannot be imported.
        if not isinstance(error, (ValueError, OSError, TypeError)) and type(error).__name__ != "PanicException":
            raise
        raise DamagedError(
            f"{folder}: the lexical index cannot be read ({error}); index again with --overwrite"
        ) from error


class LexicalWriter:
    """Adds and removes rows of one lexical folder; nothing is visible before commit()."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with _reading(folder):
            self._index = tantivy.Index(_schema(), path=str(folder))
            self._index.register_tokenizer(_TOKENIZER, _analyzer())
            self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=1)

    def add(self, row: int, title: str, passage: str) -> None:
        """Add one passage under its row."""
        document = tantivy.Document()
        document.add_unsigned("row", row)
        document.add_text("body", f"{title}\n{passage}" if title else passage)
        self._writer.add_document(document)

    def remove(self, rows: Sequence[int]) -> None:
        """Remove these rows."""
        # delete_documents_by_term() takes an int for a signed term and silently removes nothing of an unsigned field.
        for start in range(0, len(rows), _REMOVE_ROWS):
            query = tantivy.Query.term_set_query(self._index.schema, "row", rows[start : start + _REMOVE_ROWS])
            self._writer.delete_documents_by_query(query)

    def remove_from(self, first_row: int) -> None:
        """Remove every row >= first_row."""
        query = tantivy.Query.range_query(
            self._index.schema, "row", tantivy.FieldType.Unsigned, lower_bound=first_row, upper_bound=None
        )
        self._writer.delete_documents_by_query(query)

    def commit(self) -> None:
        """Make everything so far durable and visible to readers that open from now on."""
        self._writer.commit()

    def close(self) -> None:
        """Wait for merges, let go of the folder; what was not committed is dropped."""
        self._writer.wait_merging_threads()


class LexicalReader:
    """Answers queries on the state that was committed when it was opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if altered := altered_files(folder):
            raise DamagedError(
                f"{altered[0]}: is missing or not what was written (its sum differs); restore it, or index again with "
                "--overwrite"
            )
        with _reading(folder):
            index = tantivy.Index.open(str(folder))
            index.register_tokenizer(_TOKENIZER, _analyzer())
            self._schema = index.schema
            self._searcher = index.searcher()
            # Tantivy opens the files of words when they are first asked.
            self._searcher.search(self._term("", 1), limit=1, count=False)

    @property
    def n_rows(self) -> int:
        """Rows held, including any that the catalog does not know."""
        return int(self._searcher.num_docs)

    def search(self, text: str, n: int, *, only: Sequence[int] | None = None) -> tuple[Rows, Scores]:
        """Find the rows whose passage or title shares a word with the text.

        Args:
            text: any characters; they are words, never syntax.
            n: how many rows at most.
            only: rows to look among; None: all.

        Returns:
            rows (m,) and BM25 scores (m,), m <= n, best first; all that match, if m < n.
        """
        stems = Counter(query_stems(text))
        if not stems or n < 1 or not self.n_rows:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        should = tantivy.Occur.Should
        words = [(should, self._term(stem, count)) for stem, count in sorted(stems.items())]
        query = tantivy.Query.boolean_query(words)
        if only is not None:
            among = tantivy.Query.const_score_query(tantivy.Query.term_set_query(self._schema, "row", only), 0.0)
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, among)])
        return self._found(query, min(n, self.n_rows))

    def _term(self, stem: str, count: int) -> tantivy.Query:
        term = tantivy.Query.term_query(self._schema, "body", stem, index_option="freq")
        return term if count == 1 else tantivy.Query.boost_query(term, float(count))

    def all_rows(self) -> Rows:
        """Return every row held, ascending."""
        if not self.n_rows:
            return np.empty(0, np.int64)
        rows, _ = self._found(tantivy.Query.all_query(), self.n_rows)
        return np.sort(rows)

    def _found(self, query: tantivy.Query, n: int) -> tuple[Rows, Scores]:
        with _reading(self._folder):
            hits = self._searcher.search(query, limit=n, count=False).hits
            rows = self._searcher.fast_field_values("row", [address for _, address in hits])
            return np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32)


def altered_files(folder: Path) -> list[Path]:
    """Return the files in force that are missing, or whose bytes are not those that Tantivy wrote.

    Raises:
        DamagedError: meta.json, which names the files in force, cannot be read.
    """
    for _ in range(_ATTEMPTS):
        before = _meta_of(folder)
        altered = [path for path in _files_in_force(folder, before) if not _is_whole(path)]
        if not altered or _meta_of(folder) == before:  # a writer may have replaced the files meanwhile
            return altered
    raise DamagedError(f"{folder}: changed {_ATTEMPTS} times while it was read; try again when writers are done")


def _meta_of(folder: Path) -> bytes:
    path = folder / "meta.json"
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is missing; restore it, or index again with --overwrite") from error


def _files_in_force(folder: Path, meta: bytes) -> list[Path]:
    """Return the files that meta.json names; all others are those of a writer that is at work, or died."""
    try:
        segments = json.loads(meta)["segments"]
        ids = {segment["segment_id"].replace("-", ""): segment["deletes"] for segment in segments}
        deletes = [f"{name}.{deletes['opstamp']}.del" for name, deletes in ids.items() if deletes]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        advice = "restore it, or index again with --overwrite"
        raise DamagedError(f"{folder / 'meta.json'}: is not what was written ({error!r}); {advice}") from error
    return [folder / name for name in sorted([*deletes, *(f"{name}.{end}" for name in ids for end in _ENDINGS)])]


def _is_whole(path: Path) -> bool:
    """Check one file: body, JSON footer {"crc": ...}, length of the footer and a magic number (4 bytes each)."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            length, magic = struct.unpack("<II", file.read(8)) if size >= 8 else (0, 0)
            if magic != _FOOTER_MAGIC or length > size - 8:
                return False
            file.seek(size - 8 - length)
            footer = json.loads(file.read(length))
            file.seek(0)
            crc, left = 0, size - 8 - length
            while block := file.read(min(left, BLOCK)):
                crc, left = zlib.crc32(block, crc), left - len(block)
            return bool(crc == footer["crc"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def remove_lexical(folder: Path) -> None:
    """Delete a lexical folder that no catalog names any more."""
    shutil.rmtree(folder, ignore_errors=True)
