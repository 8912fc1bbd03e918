"""Provide an encoder with given vectors, so that adding and searching are measured without encoding."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.scale.vectors import VectorFolder
from hpdsearch import Encoder
from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.records import Document


class FixedEncoder(Encoder):
    """An encoder that returns given vectors for known texts and encodes all others."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Wrap an encoder with known texts and their vectors (n, model_dim); equal texts must have equal vectors."""
        vars(self).update(vars(encoder))
        self._rows = {text: row for row, text in enumerate(texts)}
        self._given = vectors

    def _encode(self, texts: Sequence[str], prompt: str, progress: Progress) -> Matrix:
        rows = [self._rows.get(text, -1) for text in texts]
        vectors = unit_rows(self._given[rows][:, : self.dim])
        if unknown := [position for position, row in enumerate(rows) if row < 0]:  # passages of split texts
            vectors[unknown] = super()._encode([texts[position] for position in unknown], prompt, progress)
        return vectors


def load_fixed_encoder(
    source: VectorFolder, texts: Path, n_texts: int, queries: Path, n_queries: int, *, dim: int
) -> tuple[FixedEncoder, list[str], list[str]]:
    """Return an encoder that knows the first texts and queries, and these texts and queries.

    Args:
        source: vectors of the lines of both files, in order.
        texts: file with one text per line.
        n_texts: number of texts.
        queries: file with one query per line.
        n_queries: number of queries.
        dim: dimensions of the encoder's vectors.
    """
    lines = first_lines(texts, n_texts)
    query_texts = first_lines(queries, n_queries)
    vectors = np.empty((n_texts + n_queries, source.width), np.float16)
    at = 0
    for block in source.blocks(n_texts):
        vectors[at : at + len(block)] = block
        at += len(block)
    vectors[n_texts:] = source.queries(n_queries)
    encoder = FixedEncoder(Encoder.load("static"), lines + query_texts, vectors)
    assert encoder.model_dim == source.width, "the vectors are not in the space of the static encoder"
    return encoder.truncate(dim), lines, query_texts  # type: ignore[return-value]


def first_lines(path: Path, n: int) -> list[str]:
    """Return the first n lines of a text file.

    Raises:
        SystemExit: the file has fewer lines.
    """
    with path.open(encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in islice(file, n)]
    if len(lines) < n:
        raise SystemExit(f"{path}: expected at least {n:,} lines, got {len(lines):,}")
    return lines


def documents(lines: Sequence[str], first: int = 0) -> Iterator[Document]:
    """Yield one document per line, with its number as doc_id."""
    for number, line in enumerate(lines, first):
        yield Document(str(number), line)
