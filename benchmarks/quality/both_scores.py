"""The scores of every candidate of a judged query, computed with the functions of hpdsearch.

Marks in a query (docs/searching.md) are taken as text: judged queries contain quotes as prose does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.common.vector_cache import Encode
from hpdsearch.common.vectors import cosine_matrix, unit_rows
from hpdsearch.evaluation import is_query_itself
from hpdsearch.evaluation.metrics import top_rows
from hpdsearch.lexical import LexicalReader, query_stems, temporary_bm25_index
from hpdsearch.lexical.tantivy_formats import K1, idf
from hpdsearch.records import Document
from hpdsearch.search.fusion import fuse
from hpdsearch.search.ranking import Ranked
from hpdsearch.search.rare_words import KnownWords, bonuses

BLOCK = 64  # queries whose cosines with all documents are in memory
BEYOND = 10**9  # rank of a document that is not in a ranking

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The documents that are first in one of the rankings of a query, or have a bonus.

    Attributes:
        doc_ids: ascending.
        cosines: (n,).
        bm25: (n,), 0 for a document that shares no stem with the query.
        coverage: (n,), 0..1, as in LexicalReader.coverage.
        bonuses: (n,), as in hpdsearch.search.rare_words.
        dense_ranks: (n,), from 0.
        lexical_ranks: (n,), from 0; BEYOND outside of the ranking.
        possible_bm25: upper bound of the query's BM25 scores.
    """

    doc_ids: list[str]
    cosines: Floats
    bm25: Floats
    coverage: Floats
    bonuses: Floats
    dense_ranks: npt.NDArray[np.int64]
    lexical_ranks: npt.NDArray[np.int64]
    possible_bm25: float

    def rank_hybrid(self) -> list[tuple[str, float]]:
        """Return the doc_ids with their hybrid scores as hpdsearch ranks them, best first; equal scores by doc_id."""
        dense = [Ranked(number, cosine, 0) for number, cosine in enumerate(self.cosines.tolist())]
        order = np.argsort(-self.bm25, kind="stable").tolist()
        lexical = [Ranked(number, float(self.bm25[number]), 0) for number in order if self.bm25[number] > 0]
        coverage = dict(enumerate(self.coverage.tolist()))
        bonuses = {number: bonus for number, bonus in enumerate(self.bonuses.tolist()) if bonus}
        fused = fuse(dense, lexical, coverage, bonuses)
        return [(self.doc_ids[one.doc], one.score) for one in sorted(fused, key=lambda one: (-one.score, one.doc))]


def score_candidates(
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    encode_queries: Encode,
    encode_documents: Encode,
    known_words: KnownWords,
    *,
    depth: int,
) -> Iterator[tuple[str, Candidates]]:
    """Yield query_id and candidates of each query; a query that is a document itself is not among its candidates.

    Args:
        documents: texts by doc_id.
        queries: texts by query_id.
        encode_queries: texts of queries -> vectors (n, dim).
        encode_documents: the same for documents.
        known_words: query -> its words that the encoder has whole.
        depth: documents of each ranking.
    """
    documents = dict(sorted(documents.items()))  # equal scores are ordered by row, so by doc_id
    vectors = unit_rows(encode_documents(list(documents.values())))
    items = list(queries.items())
    with temporary_bm25_index(documents.values()) as reader:
        scorer = _Scorer(documents, reader, known_words, depth)
        for first in range(0, len(items), BLOCK):
            block = items[first : first + BLOCK]
            lines = cosine_matrix(unit_rows(encode_queries([text for _, text in block])), vectors)
            for (query_id, text), line in zip(block, lines, strict=True):
                yield query_id, scorer.score(query_id, text, line)


class _Scorer:
    """Scores the candidates of one query after the other; row i is the i-th document."""

    def __init__(
        self, documents: Mapping[str, str], reader: LexicalReader, known_words: KnownWords, depth: int
    ) -> None:
        self._doc_ids = list(documents)
        self._texts = list(documents.values())
        self._documents = documents
        self._reader = reader
        self._known_words = known_words
        self._depth = depth

    def score(self, query_id: str, text: str, line: Floats) -> Candidates:
        """Return the candidates of a query, whose cosines with all documents are `line`."""
        itself = query_id if is_query_itself(text, self._documents.get(query_id, "")) else None
        (nearest,) = top_rows(line[np.newaxis], min(self._depth + 1, len(line)))
        dense = self._leave_out(itself, nearest.tolist())
        found = self._reader.search(text, self._depth + 1)
        lexical = self._leave_out(itself, found[0].tolist())
        added = {
            row: bonus
            for row, bonus in bonuses(self._reader, text, self._known_words, _identity, self._read).items()
            if self._doc_ids[row] != itself
        }
        rows = sorted({*dense, *lexical, *added})
        scored = self._reader.search(text, len(rows), only=rows)
        bm25 = dict(zip(*(part.tolist() for part in scored), strict=True))
        dense_ranks = {row: rank for rank, row in enumerate(dense)}
        lexical_ranks = {row: rank for rank, row in enumerate(lexical)}
        return Candidates(
            [self._doc_ids[row] for row in rows],
            line[rows].astype(np.float64),
            np.array([bm25.get(row, 0.0) for row in rows], np.float64),
            self._reader.coverage(text, rows),
            np.array([added.get(row, 0.0) for row in rows], np.float64),
            np.array([dense_ranks.get(row, BEYOND) for row in rows], np.int64),
            np.array([lexical_ranks.get(row, BEYOND) for row in rows], np.int64),
            self._bound_bm25(text),
        )

    def _leave_out(self, itself: str | None, rows: list[int]) -> list[int]:
        return [row for row in rows if self._doc_ids[row] != itself][: self._depth]

    def _read(self, rows: Set[int]) -> dict[int, Document]:
        return {row: Document(self._doc_ids[row], self._texts[row]) for row in rows}

    def _bound_bm25(self, text: str) -> float:
        """Return the BM25 score of a document that would hold each stem of the query infinitely often."""
        stems = Counter(query_stems(text, self._reader.analysis))
        counts = {stem: self._reader.count_rows(stem) for stem in stems}
        n_rows = self._reader.n_rows
        return sum(n * idf(n_rows, counts[stem]) * (1 + K1) for stem, n in stems.items() if counts[stem])


def _identity(rows: npt.NDArray[np.int64]) -> dict[int, int]:
    return {row: row for row in rows.tolist()}
