"""Vectors of the retrieval benchmark: of every text and query by an encoder, or back-projected ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.mixed_corpus import MixedCorpus
from benchmarks.common.vector_cache import EncoderSource, cached_encoder, hash_texts
from benchmarks.scale.vectors import VectorFolder, back_project, vector_file
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import VectorFile

BLOCK = 10_000  # texts encoded and kept together


class Texts:
    """Documents, queries and their vectors.

    Attributes:
        documents: texts, the judged ones first; a smaller size is their beginning.
        doc_ids: of them.
        questions: texts of the judged queries, each once.
    """

    def __init__(self, mix: MixedCorpus) -> None:
        self.documents, self.doc_ids = list(mix.documents.values()), list(mix.documents)
        self.questions = list(dict.fromkeys(mix.queries.values()))
        self.queries, self.qrels = mix.queries, mix.qrels

    def run(self, found: Sequence[Sequence[int]]) -> dict[str, list[str]]:
        """Return the doc_ids that each query found, of the rows that each question found; -1: none."""
        rows = dict(zip(self.questions, found, strict=True))
        return {
            query_id: [self.doc_ids[row] for row in rows[text] if row >= 0] for query_id, text in self.queries.items()
        }


class EncodedTexts(VectorFolder):
    """The vectors of texts by one encoder; what the cache lacks is encoded when it is first wanted.

    Attributes:
        name: of the encoder.
        key: tells its vectors of these texts from all others.
    """

    def __init__(self, source: EncoderSource, texts: Texts, cache: Path) -> None:
        self.name, self._source, self._texts, self._cache = source.name, source, texts, cache
        self.key = f"{source.key}-{hash_texts([*texts.questions, *texts.documents[:BLOCK]])}"
        self.width = self.questions().shape[1]
        self.n_real = len(texts.documents)

    def questions(self, dim: int | None = None) -> Matrix:
        """Return the vectors (m, dim) of the questions, of unit length."""
        return unit_rows(self._vectors("queries", self._texts.questions)[:, :dim])

    def blocks(self, n: int, dim: int | None = None) -> Iterator[Matrix]:
        """Yield the vectors of the first n documents, block by block (rows, dim), of unit length."""
        for number, start in enumerate(range(0, n, BLOCK)):
            # A whole block even if less of it is wanted: other sizes find it in the cache.
            vectors = self._vectors(f"{number:05d}", self._texts.documents[start : start + BLOCK])
            yield unit_rows(vectors[: n - start, :dim])

    def _vectors(self, part: str, texts: list[str]) -> np.ndarray:
        return cached_encoder(self._source, {f"mixed-{part}": texts}, self._cache)(texts)


class BackProjectedTexts(VectorFolder):
    """Back-projected vectors: an encoder's, in the teacher's width; a scan takes as long as over teacher vectors."""

    def __init__(self, encoded: EncodedTexts, components: Matrix, teacher: str) -> None:
        """Back-project by the transposed projection (dim, teacher_dim) of the encoder's space.

        Raises:
            SystemExit: it is not as wide as the encoder's vectors.
        """
        if encoded.width != len(components):
            raise SystemExit(
                f"--space: expected a space of {encoded.width} numbers (encoder {encoded.name}), got {len(components)}"
            )
        self._encoded, self._components, self.name = encoded, components, teacher
        self.key, self.width, self.n_real = f"{encoded.key}-lifted", components.shape[1], encoded.n_real

    def questions(self, dim: int | None = None) -> Matrix:
        """Return the vectors (m, teacher_dim) of the questions."""
        return back_project(self._encoded.questions(), self._components)

    def blocks(self, n: int, dim: int | None = None) -> Iterator[Matrix]:
        """Yield the vectors of the first n documents, block by block (rows, teacher_dim)."""
        for block in self._encoded.blocks(n):
            yield back_project(block, self._components)


def open_vectors(
    vectors: EncodedTexts | BackProjectedTexts, n: int, dim: int, work: Path, *, rebuild: bool
) -> VectorFile:
    """Return the vectors file of the first n documents, written unless it is there, or to `rebuild`."""
    return vector_file(vectors, n, dim, work / vectors.key, rebuild=rebuild)
