"""Read vectors of real texts for the benchmarks of scale, and add copies with small noise if more are needed.

The folder holds `00000.npy`, `00001.npy`, ..., each (rows, dim) with one vector per text, and `queries.npy` with
vectors of other texts (here web queries). Narrower vectors are truncated and normalized.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import VectorFile, VectorWriter

NOISE = 0.3  # length of the noise for a unit vector; a copy has a cosine of about 0.96 with its original
SEED = 4


class VectorFolder:
    """The vectors of a folder, in order, up to the first missing file.

    Attributes:
        width: dimensions of a vector.
        n_real: number of real vectors; all further vectors are copies with noise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = (folder / f"{number:05d}.npy" for number in count())
        self._chunks = []
        for path in paths:
            if not path.exists():
                break
            self._chunks.append(np.load(path, mmap_mode="r"))
        if not self._chunks:
            raise SystemExit(f"{folder}: expected vectors in 00000.npy, 00001.npy, ..., got no such file")
        self.width = self._chunks[0].shape[1]
        self.n_real = sum(map(len, self._chunks))

    def blocks(self, n: int, dim: int | None = None) -> Iterator[Matrix]:
        """Yield the first n vectors in blocks (rows, dim), unit length; equal calls give equal vectors."""
        made = 0
        spread = None
        for copy in count():
            for number, chunk in enumerate(self._chunks):
                block = chunk[: n - made].astype(np.float32)
                if copy:
                    # The noise has the standard deviations of the vectors; isotropic noise would leave their subspace.
                    spread = self._chunks[0].astype(np.float32).std(axis=0) if spread is None else spread
                    noise = np.random.default_rng([SEED, copy, number]).normal(size=block.shape).astype(np.float32)
                    block += NOISE / np.linalg.norm(spread) * spread * noise
                yield unit_rows(block[:, :dim])
                made += len(block)
                if made >= n:
                    return

    def vectors(self, n: int, dim: int | None = None) -> Matrix:
        """Return the first n vectors (n, dim), unit length."""
        array = np.empty((n, dim or self.width), np.float32)
        at = 0
        for block in self.blocks(n, dim):
            array[at : at + len(block)] = block
            at += len(block)
        return array

    def queries(self, n: int, dim: int | None = None) -> Matrix:
        """Return the vectors (n, dim) of the first n queries, unit length.

        Raises:
            SystemExit: the file has fewer.
        """
        path = self.folder / "queries.npy"
        found = np.load(path, mmap_mode="r")
        if len(found) < n:
            raise SystemExit(f"{path}: expected at least {n:,} queries, got {len(found):,}")
        return unit_rows(found[:n, :dim])

    def description(self, n: int) -> str:
        """Describe the first n vectors: how many are of real texts."""
        if n <= self.n_real:
            return f"{n:,} vectors of real texts"
        return f"{self.n_real:,} vectors of real texts, repeated with noise of length {NOISE} up to {n:,}"


def vector_file(source: VectorFolder, n: int, dim: int, work: Path, *, rebuild: bool = False) -> VectorFile:
    """Return the vectors file of the first n vectors; write it into `work` if it is missing or `rebuild` is set."""
    real = min(n, source.n_real)
    path = work / f"vectors-{n}-of-{real}-dim-{dim}.f16"
    if rebuild or not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        with VectorWriter(path, dim) as writer:
            for block in source.blocks(n, dim):
                writer.append(block)
    return VectorFile(path, n, dim)


def back_project(vectors: Matrix, components: Matrix) -> Matrix:
    """Back-project vectors (n, dim) to the teacher's width (n, teacher_dim); cosines are unchanged.

    Args:
        vectors: unit vectors (n, dim).
        components: projection (dim, teacher_dim), rows orthogonal.
    """
    return vectors @ unit_rows(components)


def describe_vectors(source: VectorFolder, sizes: list[int]) -> dict[str, Any]:
    """Return the description of the vectors for a result."""
    return {"vectors": [source.description(n) for n in sizes], "n_real": source.n_real, "noise": NOISE}
