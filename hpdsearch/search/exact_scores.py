"""Exact scores of chosen rows and documents: the cosine of their stored vectors, BM25 and coverage."""

from collections.abc import Collection, Sequence

import numpy as np

from hpdsearch.common.vectors import Matrix, Rows, Scores
from hpdsearch.search.ranking import Ranking, choose_best_rows
from hpdsearch.search.snapshot import Snapshot, rows_of_segment


def score_exactly(snapshot: Snapshot, vector: np.ndarray, rows: Rows) -> tuple[Rows, Scores]:
    """Return those of the rows (n,), ascending, that the segments hold, and their cosines with vector (dim,)."""
    found_rows = [np.empty(0, np.int64)]
    found_scores = [np.empty(0, np.float32)]
    for segment in snapshot.segments:
        in_span = rows_of_segment(rows, segment)
        in_segment = in_span[segment.rows.contains(in_span)]
        if len(in_segment):
            found_rows.append(in_segment)
            found_scores.append(segment.score(vector, in_segment))
    return np.concatenate(found_rows), np.concatenate(found_scores)


def score_by_both(
    snapshot: Snapshot,
    text: str,
    vector: np.ndarray,
    dense: Ranking,
    lexical: Ranking,
    others: Collection[int] = (),
) -> tuple[Ranking, Ranking]:
    """Add to each ranking the documents that only the other one has, and these others, with their exact scores.

    A document shares no stem with the text if the lexical ranking still lacks it.
    """
    in_dense = {ranked.doc for ranked in dense}
    in_lexical = {ranked.doc for ranked in lexical}
    candidates = in_dense.union(in_lexical, others)
    docs = snapshot.catalog.docs_by_row(sorted(candidates - (in_dense & in_lexical)))
    rows = np.array(sorted(row for row, doc in docs.items() if doc not in in_dense), np.int64)
    cosines = choose_best_rows(docs, *score_exactly(snapshot, vector, rows))
    only = sorted(row for row, doc in docs.items() if doc not in in_lexical)
    bm25 = choose_best_rows(docs, *snapshot.lexical.search(text, len(only), only=only))
    return dense + cosines, lexical + bm25


def score_documents(
    snapshot: Snapshot, text: str, vector: np.ndarray, docs: Collection[int]
) -> tuple[Ranking, Ranking]:
    """Return the documents by their best passages: all of them by cosine, those that share a stem by BM25."""
    doc_of_row = snapshot.catalog.docs_by_row(list(docs))
    rows = sorted(doc_of_row)
    cosines = choose_best_rows(doc_of_row, *score_exactly(snapshot, vector, np.array(rows, np.int64)))
    return cosines, choose_best_rows(doc_of_row, *snapshot.lexical.search(text, len(rows), only=rows))


def cover_documents(snapshot: Snapshot, text: str, lexical: Ranking) -> dict[int, float]:
    """Return, by document, the part of a text that its best passage by BM25 holds, in 0..1."""
    shares = snapshot.lexical.coverage(text, [ranked.row for ranked in lexical])
    return dict(zip((ranked.doc for ranked in lexical), shares.tolist(), strict=True))


def read_vectors(snapshot: Snapshot, rows: Rows) -> Matrix:
    """Return the stored vectors (m, dim), unit length, of these rows (m,), ascending; all must be in a segment."""
    parts = []
    found = []
    for segment in snapshot.segments:
        in_span = rows_of_segment(rows, segment)
        in_segment = in_span[segment.rows.contains(in_span)]
        if len(in_segment):
            found.append(in_segment)
            parts.append(segment.read(in_segment))
    order = np.argsort(np.concatenate(found))  # the spans of segments may overlap
    vectors: Matrix = np.concatenate(parts)[order]
    return vectors


def read_document_vectors(snapshot: Snapshot, docs: Sequence[int]) -> list[Matrix]:
    """Return the stored vectors (n_passages, dim) of each of these documents, in their order; all must exist."""
    rows_by_doc: dict[int, list[int]] = {doc: [] for doc in docs}
    for row, doc in snapshot.catalog.docs_by_row(docs).items():
        rows_by_doc[doc].append(row)
    rows = np.array(sorted(row for of_doc in rows_by_doc.values() for row in of_doc), np.int64)
    vectors = read_vectors(snapshot, rows)
    return [vectors[np.searchsorted(rows, sorted(rows_by_doc[doc]))] for doc in docs]
