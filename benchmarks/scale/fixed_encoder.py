"""An encoder whose vectors are given, so that adding and searching are measured without encoding; documents to add."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.scale.vectors import VectorFolder
from hpdsearch import Encoder
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.records import Document


class FixedEncoder(Encoder):
    """An encoder that returns given vectors for known texts and encodes all others."""

    def __init__(self, encoder: Encoder, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Know texts (n) and their vectors (n, model_dim); texts of equal vectors may repeat."""
        vars(self).update(vars(encoder))
        self._rows = {text: row for row, text in enumerate(texts)}
        self._given = vectors

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Return the texts' vectors (n, dim)."""
        rows = [self._rows.get(text, -1) for text in texts]
        vectors = unit_rows(self._given[rows][:, : self.dim])
        if unknown := [place for place, row in enumerate(rows) if row < 0]:  # passages of texts that were cut
            vectors[unknown] = super().encode([texts[place] for place in unknown], progress=progress)
        return vectors


def load_fixed_encoder(
    source: VectorFolder, texts: Path, n_texts: int, questions: Path, n_questions: int, *, dim: int
) -> tuple[FixedEncoder, list[str], list[str]]:
    """Return an encoder of the first texts and questions, and these.

    Args:
        source: the vectors of the lines of both files, in order.
        texts: a text a line.
        n_texts: how many of them.
        questions: a question a line.
        n_questions: how many of them.
        dim: width of the encoder's vectors.
    """
    lines, asked = first_lines(texts, n_texts), first_lines(questions, n_questions)
    vectors = np.empty((n_texts + n_questions, source.width), np.float16)
    at = 0
    for block in source.blocks(n_texts):
        vectors[at : at + len(block)] = block
        at += len(block)
    vectors[n_texts:] = source.queries(n_questions)
    encoder = FixedEncoder(Encoder.load("static"), lines + asked, vectors)
    assert encoder.model_dim == source.width, "the vectors are not of the static encoder's space"
    return encoder.truncate(dim), lines, asked  # type: ignore[return-value]


def first_lines(path: Path, n: int) -> list[str]:
    """Return the first n lines of a text file.

    Raises:
        SystemExit: there are fewer.
    """
    with path.open(encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in islice(file, n)]
    if len(lines) < n:
        raise SystemExit(f"{path}: expected at least {n:,} lines, got {len(lines):,}")
    return lines


def documents(lines: Sequence[str], first: int = 0) -> Iterator[Document]:
    """Yield a document a line, with its number as doc_id."""
    for number, line in enumerate(lines, first):
        yield Document(str(number), line)
