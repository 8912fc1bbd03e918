"""Expected results of a search, computed by brute force: numpy and plain SQL over the files of an index folder."""

import math
import sqlite3
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from tiny_encoder import WORDS

from hpdsearch.encoder import Encoder
from hpdsearch.lexical import query_stems
from hpdsearch.records import Document, Hit

TOLERANCE = 1e-6  # two encodings of one query may differ in the last bit


def make_documents(n: int, *, seed: int = 0, first: int = 0, longest: int = 8) -> list[Document]:
    """Return short texts with metadata for filters of every selectivity; document i has i, i % 2, i % 10, i % 100."""
    rng = np.random.default_rng(seed)
    documents = []
    for i in range(first, first + n):
        words = rng.choice(WORDS, rng.integers(3, longest + 1))
        metadata = {"number": i, "half": i % 2, "tenth": i % 10, "hundredth": i % 100}
        documents.append(Document(f"d{i:05d}", " ".join(words), metadata=metadata))
    return documents


def read_passages(folder: Path, encoder: Encoder) -> dict[tuple[str, str], np.ndarray]:
    """Return the stored vector, scaled to unit length, of each live (doc_id, passage).

    Each vector is compared with the encoder's vector of the text, so that a vector in the wrong row is an error.
    """
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        sql = "SELECT first_row, end_row, n_rows, row_map, vectors_file FROM segments"
        segments = connection.execute(sql).fetchall()
        sql = "SELECT row, doc_id, title, substr(text, start + 1, end - start) FROM passages JOIN documents USING (doc)"
        placed = connection.execute(sql).fetchall()
        found = connection.execute("SELECT row, vector FROM waiting").fetchall()
        waiting = [(row, np.frombuffer(vector, "<f2").astype(np.float64)) for row, vector in found]
    stored = {}
    for first_row, end_row, n_rows, row_map, name in segments:
        bits = np.unpackbits(np.frombuffer(zlib.decompress(row_map), np.uint8), bitorder="little") if row_map else None
        rows = range(first_row, end_row) if bits is None else (first_row + np.flatnonzero(bits)).tolist()
        vectors = np.fromfile(folder / name, "<f2", n_rows * encoder.dim).reshape(n_rows, -1).astype(np.float64)
        stored |= {row: vector / np.linalg.norm(vector) for row, vector in zip(rows, vectors, strict=True)}
    stored |= {row: vector / np.linalg.norm(vector) for row, vector in waiting}
    texts = [f"{title}\n{text}" if title and title != text else text for _, _, title, text in placed]
    expected = encoder.encode(texts)
    for (row, doc_id, _, _), vector in zip(placed, expected, strict=True):
        assert np.abs(stored[row] - vector).max() < 1e-3, doc_id
    return {(doc_id, text): stored[row] for row, doc_id, _, text in placed}


def compute_dense_scores(passages: Mapping[tuple[str, str], np.ndarray], query: np.ndarray) -> dict[str, float]:
    """Return the cosine of each document's best passage."""
    scores: dict[str, float] = {}
    for (doc_id, _), vector in passages.items():
        scores[doc_id] = max(scores.get(doc_id, -2.0), float(vector @ query.astype(np.float64)))
    return scores


def assert_best(hits: Sequence[Hit], scores: Mapping[str, float], k: int) -> None:
    """Check that hits are the k best of scores, best first, equal scores by doc_id."""
    found = [hit.doc_id for hit in hits]
    assert len(set(found)) == len(found) == min(k, len(scores))
    for hit in hits:
        assert abs(hit.score - scores[hit.doc_id]) < TOLERANCE
    assert found == [hit.doc_id for hit in sorted(hits, key=lambda hit: (-hit.score, hit.doc_id))]
    if hits:
        last = scores[found[-1]]
        for doc_id in scores.keys() - set(found):
            assert scores[doc_id] < last + TOLERANCE
            assert scores[doc_id] != last or doc_id > found[-1]


def compute_coverage(query: str, texts: Mapping[str, str]) -> dict[str, float]:
    """Return by doc_id the share of the query's idf whose stems the text holds.

    The idf of a stem that df of n texts hold is ln(1 + (n - df + 0.5) / (df + 0.5)).

    Args:
        query: any text.
        texts: by doc_id, one passage each, all of the index.
    """
    held = {doc_id: set(query_stems(query)) & stems_of_text(text) for doc_id, text in texts.items()}
    counts = Counter(stem for stems in held.values() for stem in stems)
    idf = {stem: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for stem, n in counts.items()}
    total = sum(idf.values()) or 1.0
    return {doc_id: sum(idf[stem] for stem in stems) / total for doc_id, stems in held.items()}


def stems_of_text(text: str) -> set[str]:
    """Return the stems of a text; single words keep their stop words."""
    return {stem for word in text.split() for stem in query_stems(word)}


def compute_hybrid_scores(
    dense: Sequence[Hit], lexical: Sequence[Hit], coverage: Mapping[str, float], depth: int
) -> dict[str, float]:
    """Return 0.65 cosine + 0.25 coverage + 0.1 BM25 / best BM25 of the documents that are among the first of a ranking.

    Args:
        dense: every document, best first.
        lexical: every document that shares a stem with the query, best first.
        coverage: of every document, by doc_id.
        depth: this many documents of each ranking are candidates.
    """
    cosines = {hit.doc_id: hit.score for hit in dense}
    words = {hit.doc_id: 0.25 * coverage[hit.doc_id] + 0.1 * hit.score / lexical[0].score for hit in lexical}
    candidates = {hit.doc_id for hit in [*dense[:depth], *lexical[:depth]]}
    return {doc_id: 0.65 * cosines[doc_id] + words.get(doc_id, 0.0) for doc_id in candidates}
