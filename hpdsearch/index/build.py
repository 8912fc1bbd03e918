"""Make a faiss index from a vectors file: a bounded training sample, then blocks, then a published file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from hpdsearch.files import BLOCK, published
from hpdsearch.index.spec import Codec, IndexSpec, Kind
from hpdsearch.index.vectorfile import VectorFile
from hpdsearch.progress import SILENT, Progress
from hpdsearch.vectors import Matrix

ADD_ROWS = 16_384
POINTS_PER_LIST = 48  # training sample of k-means: faiss asks for 39 to 256
MINIMUM_SAMPLE = 65_536
ITERATIONS = 10
SEED = 1234


@dataclass(frozen=True)
class IndexFile:
    """A published faiss file: its settled spec, size and sum."""

    spec: IndexSpec
    size_bytes: int
    sha256: str


def build_index(vectors: VectorFile, spec: IndexSpec, path: Path, *, progress: Progress = SILENT) -> IndexFile:
    """Build the index of all rows of a vectors file and publish it at `path`.

    Memory holds the codes, one block and a training sample: POINTS_PER_LIST * nlist vectors, at least MINIMUM_SAMPLE.
    """
    spec = spec.settled(vectors.n_rows)
    index = _train(vectors, spec, progress)
    bar = progress.phase("indexing", total=vectors.n_rows, unit="vec")
    for start in range(0, vectors.n_rows, ADD_ROWS):
        block = vectors.block(start, min(start + ADD_ROWS, vectors.n_rows))
        index.add(block)
        vectors.release()
        bar.update(len(block))
    bar.close()
    return _publish(index, spec, path)


def _empty_index(spec: IndexSpec, dim: int) -> faiss.Index:
    metric = faiss.METRIC_INNER_PRODUCT
    if spec.kind is Kind.FLAT:
        if spec.codec is Codec.F32:
            return faiss.IndexFlatIP(dim)
        return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, metric)
    quantizer = faiss.IndexFlatIP(dim)
    if spec.codec is Codec.F32:
        index = faiss.IndexIVFFlat(quantizer, dim, spec.nlist, metric)
    else:
        # by_residual=False: the code of a vector does not depend on its list, so flat and ivf score alike.
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, spec.nlist, faiss.ScalarQuantizer.QT_8bit, metric, False)
    index.own_fields = True
    quantizer.this.disown()
    index.cp.seed, index.cp.niter = SEED, ITERATIONS
    return index


def _train(vectors: VectorFile, spec: IndexSpec, progress: Progress) -> faiss.Index:
    index = _empty_index(spec, vectors.dim)
    if index.is_trained:
        return index
    wanted = max(POINTS_PER_LIST * spec.nlist, MINIMUM_SAMPLE)
    bar = progress.phase("training", total=1, unit="step")
    index.train(_sample(vectors, wanted))
    bar.update(1)
    bar.close()
    return index


def _sample(vectors: VectorFile, n: int) -> Matrix:
    """Return n vectors (n, dim) drawn without replacement, or all if there are fewer; ascending by row."""
    rows = np.arange(vectors.n_rows)
    if vectors.n_rows > n:
        rows = np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))
    sample = np.empty((len(rows), vectors.dim), np.float32)
    for start in range(0, len(rows), ADD_ROWS):
        sample[start : start + ADD_ROWS] = vectors.rows(rows[start : start + ADD_ROWS])
        vectors.release()
    return sample


def _publish(index: faiss.Index, spec: IndexSpec, path: Path) -> IndexFile:
    digest, size = hashlib.sha256(), 0
    with published(path) as file:

        def write(data: bytes) -> int:
            nonlocal size
            file.write(data)
            digest.update(data)
            size += len(data)
            return len(data)

        faiss.write_index(index, faiss.PyCallbackIOWriter(write, BLOCK))
    return IndexFile(spec, size, digest.hexdigest())
