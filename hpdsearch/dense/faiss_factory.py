"""Create and train the faiss index of a resolved spec; tell which dimensions it encodes and how many bytes it takes."""

from math import ceil

import faiss

from hpdsearch.common.forks import is_inherited
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType
from hpdsearch.errors import ShapeError

CORES = faiss.omp_get_max_threads()  # of a process that was not forked; see `count_cores`
SEED = 1234
# Of k-means on the lists: 10 gave the same recall at every nprobe in twice the time (docs/decisions/0016-nlist.md).
ITERATIONS = 4
ROTATED_CODECS = (Codec.PQ, Codec.RABITQ)
OVERHEAD_BYTES = 8192  # headers, and the last block of the fast-scan kernels
PQ_BITS = 4  # of a subquantizer: the fast-scan kernels know no other size
PQ_CENTROIDS = 2**PQ_BITS
FAST_SCAN_BLOCK = 32  # codes


def count_cores() -> int:
    """Return the number of threads for faiss: 1 in a process whose parent had loaded faiss before it forked."""
    return 1 if is_inherited("faiss") else CORES


def coded_dim(spec: IndexSpec, dim: int) -> int:
    """Return how many dimensions of vectors with `dim` dimensions the codes hold.

    Raises:
        ShapeError: spec.dim is larger than dim.
    """
    if spec.dim > dim:
        raise ShapeError(f"dim: expected at most {dim} (the dimensions of the vectors), got {spec.dim}")
    return spec.dim or dim


def truncate(vectors: Matrix, dim: int) -> Matrix:
    """Return the first dimensions (n, dim) of unit vectors (n, width), scaled to unit length.

    Source: Kusupati et al. 2022, "Matryoshka representation learning", arXiv:2205.13147.
    """
    return vectors if dim == vectors.shape[1] else unit_rows(vectors[:, :dim])


def count_subquantizers(spec: IndexSpec, dim: int) -> int:
    """Return the number of subquantizers (M) of the pq code of vectors with `dim` dimensions.

    Raises:
        ShapeError: spec.n_subquantizers is larger than dim.
    """
    if spec.n_subquantizers > dim:
        raise ShapeError(
            f"n_subquantizers: expected at most {dim} (the dimensions of the vectors), got {spec.n_subquantizers}"
        )
    return spec.n_subquantizers or (dim if dim % 2 else dim // 2)


def create_index(spec: IndexSpec, dim: int) -> faiss.Index:
    """Return an untrained, empty faiss index (inner product).

    Args:
        spec: resolved: no value is auto.
        dim: dimensions of the coded vectors.
    """
    if spec.codec not in ROTATED_CODECS:
        return _create_codes(spec, dim)
    rotation = faiss.RandomRotationMatrix(dim, rotated_dim(spec, dim))
    rotation.init(SEED)
    codes = _create_codes(spec, rotation.d_out)
    index = faiss.IndexPreTransform(rotation, codes)
    index.own_fields = True
    rotation.this.disown()
    codes.this.disown()
    return index


def rotated_dim(spec: IndexSpec, dim: int) -> int:
    """Return the dimensions after the rotation: for pq the next multiple of the number of subquantizers."""
    if spec.codec is not Codec.PQ:
        return dim
    n_subquantizers = count_subquantizers(spec, dim)
    return ceil(dim / n_subquantizers) * n_subquantizers


def _create_codes(spec: IndexSpec, dim: int) -> faiss.Index:
    """Return the faiss index behind the rotation."""
    metric = faiss.METRIC_INNER_PRODUCT
    sq8 = faiss.ScalarQuantizer.QT_8bit
    if spec.kind is IndexType.FLAT:
        if spec.codec is Codec.F32:
            return faiss.IndexFlatIP(dim)
        if spec.codec is Codec.SQ8:
            return faiss.IndexScalarQuantizer(dim, sq8, metric)
        if spec.codec is Codec.PQ:
            return faiss.IndexPQFastScan(dim, count_subquantizers(spec, dim), PQ_BITS, metric)
        return faiss.IndexRaBitQFastScan(dim, metric)
    quantizer = faiss.IndexFlatIP(dim)
    if spec.codec is Codec.F32:
        index = faiss.IndexIVFFlat(quantizer, dim, spec.nlist, metric)
    elif spec.codec is Codec.SQ8:
        # by_residual=False: the code of a vector does not depend on its list, so flat and ivf give equal scores.
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, spec.nlist, sq8, metric, False)
    elif spec.codec is Codec.PQ:
        n_subquantizers = count_subquantizers(spec, dim)
        index = faiss.IndexIVFPQFastScan(quantizer, dim, spec.nlist, n_subquantizers, PQ_BITS, metric)
        index.by_residual = True
    else:
        index = faiss.IndexIVFRaBitQFastScan(quantizer, dim, spec.nlist, metric)
    index.own_fields = True
    quantizer.this.disown()
    index.cp.seed = SEED
    index.cp.niter = ITERATIONS
    return index


def train(index: faiss.Index, sample: Matrix) -> None:
    """Train an index made by `create_index` on coded vectors (n, dim)."""
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        rotated = sample if isinstance(index, faiss.IndexIVF) else index.chain.at(0).apply(sample)
        faiss.omp_set_num_threads(count_cores())
        faiss.Clustering(ivf.d, ivf.nlist, ivf.cp).train(rotated, faiss.downcast_index(ivf.quantizer))
        del rotated  # below, faiss rotates another copy
    # The many small k-means of a product quantizer lose more by waiting threads than they gain.
    faiss.omp_set_num_threads(1)
    index.train(sample)


def index_bytes(spec: IndexSpec, n: int, dim: int) -> int:
    """Return an upper bound of the bytes that codes and lists of n coded vectors take.

    Args:
        spec: resolved.
        n: vectors.
        dim: dimensions of the coded vectors.
    """
    width = dim
    table_bytes = 0
    if spec.codec in ROTATED_CODECS:
        width = rotated_dim(spec, dim)
        table_bytes = width * dim * 4
    if spec.codec is Codec.PQ:
        code_bytes = ceil(count_subquantizers(spec, dim) * PQ_BITS / 8)
        table_bytes += PQ_CENTROIDS * width * 4
    elif spec.codec is Codec.RABITQ:
        code_bytes = ceil(dim / 8) + 8
    else:
        code_bytes = dim * (4 if spec.codec is Codec.F32 else 1)
    n_bytes = n * code_bytes + table_bytes + OVERHEAD_BYTES
    if spec.kind is IndexType.IVF:
        padding = FAST_SCAN_BLOCK * code_bytes if spec.codec in ROTATED_CODECS else 0
        n_bytes += n * 8 + spec.nlist * (width * 4 + padding + 16)
    return n_bytes
