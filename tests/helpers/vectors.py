"""Seeded vectors, vectors files, segments, and an independent brute-force search in numpy."""

import numpy as np

from hpdsearch.common.vectors import unit_rows
from hpdsearch.dense import RowMap, Segment, VectorFile, VectorWriter, build_index


def make_ellipsoid(n, dim, seed=0):
    """Return unit vectors (n, dim) whose variance differs by direction, like that of text embeddings."""
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)) / np.sqrt(1 + np.arange(dim)))


def make_clusters(n, dim, seed=0, n_clusters=400):
    """Return unit vectors (n, dim) around cluster centers."""
    rng = np.random.default_rng(seed)
    centers = make_ellipsoid(n_clusters, dim, seed=seed + 1)
    return unit_rows(centers[rng.integers(0, n_clusters, n)] + 0.6 * make_ellipsoid(n, dim, seed=seed + 2))


def write_vector_file(path, vectors):
    with VectorWriter(path, vectors.shape[1]) as writer:
        writer.append(vectors)
    return VectorFile(path, writer.n_rows, writer.dim)


def build_segment(folder, vectors, spec, first_row=1000):
    """Build a segment of all rows and open it."""
    folder.mkdir(exist_ok=True)
    file = write_vector_file(folder / "v.f16", vectors)
    built = build_index(file, spec, folder / "i.faiss")
    rows = RowMap(first_row, first_row + len(vectors))
    return Segment.open(rows, file, built.spec, folder / "i.faiss", built.sha256, built.operating_points)


def compute_cosines(vectors, queries):
    """Return the cosines (m, n) of queries and the vectors as stored in the file, in float64."""
    stored = vectors.astype(np.float16).astype(np.float64)
    norms = np.linalg.norm(stored, axis=1, keepdims=True)
    return queries.astype(np.float64) @ (stored / np.where(norms == 0, 1, norms)).T
