"""Provide the vectors of the retrieval benchmark: texts and queries by an encoder, or back-projected vectors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.mixed_corpus import MixedCorpus
from benchmarks.common.vector_cache import EncoderSource, cached_encoder, hash_texts
from benchmarks.scale.vectors import VectorFolder, back_project, vector_file
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import VectorFile

BLOCK = 10_000  # texts per file of the cache


class Texts:
    """Documents, queries and their vectors.

    Attributes:
        documents: texts, the judged ones first; a smaller size takes the first of them.
        doc_ids: ids of the documents.
        query_texts: distinct texts of the judged queries.
    """

    def __init__(self, mix: MixedCorpus) -> None:
        self.documents = list(mix.documents.values())
        self.doc_ids = list(mix.documents)
        self.query_texts = list(dict.fromkeys(mix.queries.values()))
        self.queries = mix.queries
        self.qrels = mix.qrels

    def run(self, found: Sequence[Sequence[int]]) -> dict[str, list[str]]:
        """Return the found doc_ids of each query from the found rows of each query text; -1 stands for none."""
        rows = dict(zip(self.query_texts, found, strict=True))
        return {
            query_id: [self.doc_ids[row] for row in rows[text] if row >= 0] for query_id, text in self.queries.items()
        }


class EncodedTexts(VectorFolder):
    """The vectors of texts by one encoder; texts that the cache lacks are encoded at their first use.

    Attributes:
        name: name of the encoder.
        key: folder name, unique for encoder and texts.
    """

    def __init__(self, source: EncoderSource, texts: Texts, cache: Path) -> None:
        self.name = source.name
        self._source = source
        self._texts = texts
        self._cache = cache
        self.key = f"{source.key}-{hash_texts([*texts.query_texts, *texts.documents[:BLOCK]])}"
        self.width = self.query_vectors().shape[1]
        self.n_real = len(texts.documents)

    def query_vectors(self, dim: int | None = None) -> Matrix:
        """Return the vectors (m, dim) of the query texts, unit length."""
        vectors = self._source.adapt_queries(self._vectors("queries", self._texts.query_texts))
        return unit_rows(vectors[:, :dim])

    def blocks(self, n: int, dim: int | None = None) -> Iterator[Matrix]:
        """Yield the vectors of the first n documents in blocks (rows, dim), unit length."""
        for number, start in enumerate(range(0, n, BLOCK)):
            # Always encode a complete block, so that other sizes find it in the cache.
            vectors = self._vectors(f"{number:05d}", self._texts.documents[start : start + BLOCK])
            yield unit_rows(vectors[: n - start, :dim])

    def _vectors(self, part: str, texts: list[str]) -> np.ndarray:
        return cached_encoder(self._source, {f"mixed-{part}": texts}, self._cache)(texts)


class BackProjectedTexts(VectorFolder):
    """An encoder's vectors, back-projected to the teacher's width; a scan takes as long as over teacher vectors."""

    def __init__(self, encoded: EncodedTexts, components: Matrix, teacher: str) -> None:
        """Back-project by the transposed projection (dim, teacher_dim) of the encoder's space.

        Raises:
            SystemExit: the projection and the encoder differ in dimensions.
        """
        if encoded.width != len(components):
            raise SystemExit(
                f"--space: expected a space of {encoded.width} dimensions (encoder {encoded.name}), "
                f"got {len(components)}"
            )
        self._encoded = encoded
        self._components = components
        self.name = teacher
        self.key = f"{encoded.key}-lifted"  # stored: folder name
        self.width = components.shape[1]
        self.n_real = encoded.n_real

    def query_vectors(self, dim: int | None = None) -> Matrix:
        """Return the vectors (m, teacher_dim) of the query texts."""
        return back_project(self._encoded.query_vectors(), self._components)

    def blocks(self, n: int, dim: int | None = None) -> Iterator[Matrix]:
        """Yield the vectors of the first n documents in blocks (rows, teacher_dim)."""
        for block in self._encoded.blocks(n):
            yield back_project(block, self._components)


def open_vectors(
    vectors: EncodedTexts | BackProjectedTexts, n: int, dim: int, work: Path, *, rebuild: bool
) -> VectorFile:
    """Return the vectors file of the first n documents; write it if it is missing or `rebuild` is set."""
    return vector_file(vectors, n, dim, work / vectors.key, rebuild=rebuild)
