"""Answering queries on the words of one committed state."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tantivy

from hpdsearch.common.vectors import Rows, Scores
from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical.analysis import TOKENIZER, analyzer, query_stems
from hpdsearch.lexical.buffer import BufferedRows, Passages, idf
from hpdsearch.lexical.integrity import Checked, check_files, commit_fingerprint, read_meta, reading

_DECIMALS = 4  # of scores: Tantivy sums the words of equal passages in any order


class LexicalReader:
    """Answers queries on the state that was committed when it was opened, and on rows that wait for the next commit."""

    def __init__(self, folder: Path, waiting: Passages = (), *, before: "LexicalReader | None" = None) -> None:
        """Open what is committed now.

        Args:
            folder: of a LexicalWriter.
            waiting: passages in force that are not in the folder yet.
            before: a reader of an earlier state of any folder; what it has checked is not checked again.

        Raises:
            CorruptIndexError: a file is missing or altered.
        """
        self._folder, self._waiting = folder, BufferedRows(waiting)
        self._meta = read_meta(folder)
        if before is not None and (before._folder, before._meta) == (folder, self._meta):
            self._checked: Checked = before._checked
            self._searcher: tantivy.Searcher = before._searcher
            self._schema: tantivy.Schema = before._schema
        else:
            self._checked = _whole_files(folder, before._checked if before is not None else frozenset())
            with reading(folder):
                index = tantivy.Index.open(str(folder))
                index.register_tokenizer(TOKENIZER, analyzer())
                self._schema = index.schema
                self._searcher = index.searcher()
                # Tantivy opens the files of words when they are first asked; both fields must be there.
                self._searcher.search(self._term("", 1), limit=1, count=False)
                tantivy.Query.term_set_query(self._schema, "row", [0])

    @property
    def commit_fingerprint(self) -> tuple[int, str]:
        """Fingerprint of the commit that was opened: its number of operations and its checksum."""
        return commit_fingerprint(self._folder, self._meta)

    @property
    def n_rows(self) -> int:
        """Rows held, including any that the catalog does not know."""
        return int(self._searcher.num_docs) + len(self._waiting.rows)

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
        if not stems or n < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, scores = self._committed(stems, n, only)
        if self._waiting.rows:
            more, more_scores = self._waiting.search(self._weights(stems), self._statistics[1])
            if only is not None:
                among = np.isin(more, np.asarray(only, np.int64))
                more, more_scores = more[among], more_scores[among]
            rows, scores = np.concatenate([rows, more]), np.concatenate([scores, more_scores])
            best = np.argsort(-scores, kind="stable")[:n]
            rows, scores = rows[best], scores[best]
        return rows, scores.round(_DECIMALS)

    def all_rows(self) -> Rows:
        """Return every row held, ascending."""
        rows, _ = self._found(tantivy.Query.all_query(), self._searcher.num_docs)
        return np.sort(np.concatenate([rows, np.array(self._waiting.rows, np.int64)]))

    def _committed(self, stems: Counter[str], n: int, only: Sequence[int] | None) -> tuple[Rows, Scores]:
        should = tantivy.Occur.Should
        words = [(should, self._term(stem, count)) for stem, count in sorted(stems.items())]
        query = tantivy.Query.boolean_query(words)
        if only is not None:
            among = tantivy.Query.const_score_query(tantivy.Query.term_set_query(self._schema, "row", only), 0.0)
            query = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, among)])
        return self._found(query, min(n, self._searcher.num_docs))

    def _term(self, stem: str, count: int) -> tantivy.Query:
        term = tantivy.Query.term_query(self._schema, "body", stem, index_option="freq")
        return term if count == 1 else tantivy.Query.boost_query(term, float(count))

    def _weights(self, stems: Counter[str]) -> dict[str, float]:
        with reading(self._folder):
            n = self._statistics[0]
            return {stem: times * idf(n, self._searcher.doc_freq("body", stem)) for stem, times in stems.items()}

    @cached_property
    def _statistics(self) -> tuple[int, float]:
        """Return rows in the folder and stems a row, as Tantivy weighs with them: removed rows count until a merge."""
        with reading(self._folder):
            holding = {stem: self._searcher.doc_freq("body", stem) for stem in self._waiting.stems}
            for _, stem in sorted((n, stem) for stem, n in holding.items() if n):
                term = self._term(stem, 1)
                for _, address in self._searcher.search(term, limit=1, count=False).hits:
                    return _rows_and_length(term.explain(self._searcher, address).to_json())
        return int(self._searcher.num_docs), self._waiting.mean_length  # no query meets both

    def _found(self, query: tantivy.Query, n: int) -> tuple[Rows, Scores]:
        if n < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        with reading(self._folder):
            hits = self._searcher.search(query, limit=n, count=False).hits
            rows = self._searcher.fast_field_values("row", [address for _, address in hits])
            return np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32)


def _rows_and_length(explanation: str) -> tuple[int, float]:
    """Return N and avgdl of Tantivy's explanation of a score."""
    idf_part, frequency_part = json.loads(explanation)["details"][1:3]
    return int(idf_part["details"][1]["value"]), float(frequency_part["details"][4]["value"])


def _whole_files(folder: Path, known: Checked) -> Checked:
    altered, whole = check_files(folder, known)
    if altered:
        raise CorruptIndexError(
            f"{altered[0]}: is missing or not what was written (its sum differs); restore it, or index again with "
            "--overwrite"
        )
    return whole
