"""Answer BM25 queries on one committed state of a lexical folder and on the buffered passages.

Source: Robertson and Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond".
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence, Set
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tantivy

from hpdsearch.common.files import MAX_READ_ATTEMPTS
from hpdsearch.common.vectors import Rows, Scores
from hpdsearch.errors import RESTORE, CorruptIndexError
from hpdsearch.lexical.analysis import ENGLISH_ANALYSIS, Analysis, Word, find_query_spans, query_stems, query_words
from hpdsearch.lexical.buffer import BufferedRows, Passages
from hpdsearch.lexical.integrity import IntactFiles, commit_fingerprint, read_meta, reading, verify_files
from hpdsearch.lexical.opening import open_committed
from hpdsearch.lexical.tantivy_formats import collection_statistics, idf

Coverage = npt.NDArray[np.float64]

_MAX_BITS = 24  # integers below 2^24 are exact in float32
_DECIMALS = 4  # of scores: Tantivy adds up the stems of equal passages in any order


class LexicalReader:
    """Answers queries on the state that was committed when it was opened, and on buffered passages.

    Attributes:
        analysis: the analysis of its rows.
    """

    def __init__(
        self,
        folder: Path,
        buffered: Passages = (),
        *,
        analysis: Analysis = ENGLISH_ANALYSIS,
        before: "LexicalReader | None" = None,
    ) -> None:
        """Open the last committed state.

        Args:
            folder: the folder of a LexicalWriter.
            buffered: active passages that are not in the folder.
            analysis: the analysis that the folder was begun with.
            before: a reader of an earlier state of any folder; files that it has verified are not read again.

        Raises:
            CorruptIndexError: a file is missing or altered.
        """
        self._folder = folder
        self.analysis = analysis
        self._buffer = BufferedRows(buffered, analysis)
        self._meta = read_meta(folder)
        self._process = os.getpid()
        state = (folder, self._meta, self._process)  # a fork may have copied the locks of a searcher in a locked state
        if before is not None and (before._folder, before._meta, before._process) == state:
            self._intact: IntactFiles = before._intact
            self._searcher: tantivy.Searcher = before._searcher
            self._schema: tantivy.Schema = before._schema
        else:
            self._open(before._intact if before is not None else frozenset())

    def _open(self, known: IntactFiles) -> None:
        """Verify and open the files; begin again if a writer merges them and removes some meanwhile."""
        for attempt in range(1, MAX_READ_ATTEMPTS + 1):
            try:
                self._intact = _require_intact(self._folder, known)
                with reading(self._folder):
                    self._searcher, self._schema = open_committed(self._folder, self._meta)
                return
            except CorruptIndexError:
                before = self._meta
                self._meta = read_meta(self._folder)
                if self._meta == before or attempt == MAX_READ_ATTEMPTS:
                    raise

    @property
    def commit_fingerprint(self) -> tuple[int, str]:
        """Fingerprint of the commit that was opened: its number of operations and its checksum."""
        return commit_fingerprint(self._folder, self._meta)

    @property
    def n_rows(self) -> int:
        """Number of rows, including any that the catalog does not know."""
        return int(self._searcher.num_docs) + len(self._buffer.rows)

    def search(self, text: str, n: int, *, only: Sequence[int] | None = None) -> tuple[Rows, Scores]:
        """Find the rows whose title or passage shares a stem with the text.

        Args:
            text: any characters; there is no query syntax.
            n: maximum number of rows.
            only: rows that may be returned; None: all.

        Returns:
            rows (m,) and BM25 scores (m,), best first; m < n if fewer rows match.

        Raises:
            CorruptIndexError: a file cannot be read.
        """
        stems = Counter(query_stems(text, self.analysis))
        if not stems or n < 1 or (only is not None and not only):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, scores = self._search_committed(stems, n, only)
        if self._buffer.rows:
            more_rows, more_scores = self._buffer.search(self._weigh(stems), self._statistics[1])
            if only is not None:
                allowed = np.isin(more_rows, np.asarray(only, np.int64))
                more_rows = more_rows[allowed]
                more_scores = more_scores[allowed]
            rows = np.concatenate([rows, more_rows])
            scores = np.concatenate([scores, more_scores])
            best = np.argsort(-scores, kind="stable")[:n]
            rows = rows[best]
            scores = scores[best]
        return rows, scores.round(_DECIMALS)

    def coverage(self, text: str, rows: Sequence[int]) -> Coverage:
        """Return the part of a text that each row holds, in 0..1: the idf of the words that both have, of all words.

        A row holds a word if it has one of its stems. Words that no row of the index holds do not count.

        Args:
            text: as in `search`.
            rows: n rows of the index, in any order.

        Returns:
            (n,) float64.

        Raises:
            CorruptIndexError: a file cannot be read.
        """
        counts = {word: self.count_rows(*word) for word in sorted(set(query_words(text, self.analysis)))}
        weights = {word: idf(self.n_rows, n) for word, n in counts.items() if n}
        if not weights or not rows:
            return np.zeros(len(rows))
        stems = sorted({stem for word in weights for stem in word})
        holds_stem = np.zeros((len(rows), len(stems)), bool)
        for first in range(0, len(stems), _MAX_BITS):
            holds_stem[:, first : first + _MAX_BITS] = self._rows_hold(stems[first : first + _MAX_BITS], rows)
        positions = {stem: i for i, stem in enumerate(stems)}
        held = np.stack([holds_stem[:, [positions[stem] for stem in word]].any(axis=1) for word in weights], axis=1)
        shares: Coverage = np.where(held, list(weights.values()), 0.0).sum(axis=1) / sum(weights.values())
        return shares

    def _rows_hold(self, stems: Sequence[str], rows: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Tell for each row (n,) and stem (m,) whether the row holds it, (n, m).

        One query asks for all of them: its score adds 2^i for stem i, which float32 does exactly up to 24 stems.
        """
        terms = [
            (tantivy.Occur.Should, tantivy.Query.const_score_query(self._term(stem, 1), float(2**number)))
            for number, stem in enumerate(stems)
        ]
        query = restrict(tantivy.Query.boolean_query(terms), self._any_row(rows))
        found, scores = self._collect(query, min(len(rows), self._searcher.num_docs))
        bits = dict(zip(found.tolist(), scores.astype(np.int64).tolist(), strict=True))
        for number, stem in enumerate(stems):
            for row in self._buffer.rows_with(stem):
                bits[row] = bits.get(row, 0) | 2**number
        masks = np.array([bits.get(row, 0) for row in rows], np.int64)
        held: npt.NDArray[np.bool_] = (masks[:, np.newaxis] >> np.arange(len(stems))) & 1 == 1
        return held

    def weigh_words(self, text: str, title: str, passage: str) -> dict[str, float]:
        """Return the part of each word of a text in the BM25 score of a passage below its title, the largest first.

        Words are written as in the text; of several with one stem, the first stands for all.

        Raises:
            CorruptIndexError: a file cannot be read.
        """
        stems = Counter(query_stems(text, self.analysis))
        scored = BufferedRows([(0, title, passage)], self.analysis)
        shared = scored.stems & stems.keys()
        _, mean_length = self._find_statistics(shared) or self._statistics
        weights = self._weigh(Counter({stem: stems[stem] for stem in shared}))
        parts = {stem: float(scored.search({stem: weight}, mean_length)[1][0]) for stem, weight in weights.items()}
        named: dict[str, float] = {}
        for stem in sorted(parts, key=lambda stem: (-parts[stem], stem)):
            start, end = next(iter(find_query_spans({stem}, text, self.analysis)), (0, 0))
            word = text[start:end] or stem
            named[word] = named.get(word, 0.0) + parts[stem]
        return named

    def count_rows(self, *word: str) -> int:
        """Count the rows that hold a word, given by its stems; deleted ones count until Tantivy merges them.

        A row that holds several of its stems counts as often: few do, because a passage is in one language.
        """
        with reading(self._folder):
            counts = [self._searcher.doc_freq("body", stem) + len(self._buffer.rows_with(stem)) for stem in word]
        return counts[0] if len(counts) == 1 else min(sum(counts), self.n_rows)

    def rows_with(self, *words: str | Word) -> Rows:
        """Return the rows (n,), ascending, that hold all of these words, including any the catalog does not know.

        Args:
            words: each is one stem, or several of which a row must hold one.
        """
        stems = [(word,) if isinstance(word, str) else word for word in words]
        terms = [(tantivy.Occur.Must, self._any_stem(word)) for word in stems]
        buffered = [{row for stem in word for row in self._buffer.rows_with(stem)} for word in stems]
        return self._all_matching(tantivy.Query.boolean_query(terms), set.intersection(*buffered))

    def _any_stem(self, word: Word) -> tantivy.Query:
        if len(word) == 1:
            return self._term(word[0], 1)
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, self._term(stem, 1)) for stem in word])

    def all_rows(self) -> Rows:
        """Return every row, ascending."""
        return self._all_matching(tantivy.Query.all_query(), self._buffer.rows)

    def _all_matching(self, query: tantivy.Query, buffered: Collection[int]) -> Rows:
        """Return the rows (n,) of a query and these buffered ones, ascending; nothing is scored."""
        n = self._searcher.num_docs
        with reading(self._folder):
            hits = self._searcher.search(query, limit=n, count=False, order_by_field="row").hits if n else []
        return np.sort(np.array([*(row for row, _ in hits), *buffered], np.int64))

    def _search_committed(self, stems: Counter[str], n: int, only: Sequence[int] | None) -> tuple[Rows, Scores]:
        query = self._any_stem_of(stems)
        if only is not None:
            query = restrict(query, self._any_row(only))
        return self._collect(query, min(n, self._searcher.num_docs))

    def _any_stem_of(self, stems: Counter[str]) -> tantivy.Query:
        """Return the query whose score is the BM25 of these stems, by their frequencies."""
        terms = [(tantivy.Occur.Should, self._term(stem, count)) for stem, count in sorted(stems.items())]
        return tantivy.Query.boolean_query(terms)

    def _any_row(self, rows: Sequence[int]) -> tantivy.Query:
        """Return the query that matches these rows.

        A query of a set of terms reads the dictionary of all rows: 1 ms for a million rows, this one 0.1 ms.
        """
        terms = [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "row", row, "basic")) for row in rows]
        return tantivy.Query.boolean_query(terms)

    def _term(self, stem: str, count: int) -> tantivy.Query:
        term = tantivy.Query.term_query(self._schema, "body", stem, index_option="freq")
        return term if count == 1 else tantivy.Query.boost_query(term, float(count))

    def _weigh(self, stems: Counter[str]) -> dict[str, float]:
        """Return the idf of each stem times its frequency in the query, by the statistics of the folder."""
        with reading(self._folder):
            n = self._statistics[0]
            return {stem: count * idf(n, self._searcher.doc_freq("body", stem)) for stem, count in stems.items()}

    @cached_property
    def _statistics(self) -> tuple[int, float]:
        """Return the number of rows in the folder and their mean length; deleted rows count until Tantivy merges them.

        Where no row of the folder shares a stem with the buffer, those of the buffer serve: no query matches both.
        """
        return self._find_statistics(self._buffer.stems) or (int(self._searcher.num_docs), self._buffer.mean_length)

    def _find_statistics(self, stems: Set[str]) -> tuple[int, float] | None:
        """Return number and mean length of the rows in the folder; None if none of them has one of these stems.

        Tantivy tells both only in the explanation of a score, so a row that has a stem is explained.
        """
        with reading(self._folder):
            n_matching = {stem: self._searcher.doc_freq("body", stem) for stem in stems}
            for _, stem in sorted((n, stem) for stem, n in n_matching.items() if n):
                term = self._term(stem, 1)
                for _, address in self._searcher.search(term, limit=1, count=False).hits:
                    return collection_statistics(term.explain(self._searcher, address).to_json())
        return None

    def _collect(self, query: tantivy.Query, n: int) -> tuple[Rows, Scores]:
        if n < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        with reading(self._folder):
            hits = self._searcher.search(query, limit=n, count=False).hits
            rows = self._searcher.fast_field_values("row", [address for _, address in hits])
            return np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32)


def restrict(query: tantivy.Query, allowed: tantivy.Query) -> tantivy.Query:
    """Return the query that matches what both match, with the scores of the first."""
    unscored = tantivy.Query.const_score_query(allowed, 0.0)
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, unscored)])


def _require_intact(folder: Path, known: IntactFiles) -> IntactFiles:
    corrupt, intact = verify_files(folder, known)
    if corrupt:
        raise CorruptIndexError(f"{corrupt[0]}: is missing or does not match its checksum; {RESTORE}")
    return intact
