"""The faiss structures behind a settled spec, the numbers they see of a vector, and the bytes they take."""

from math import ceil

import faiss

from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType
from hpdsearch.errors import ShapeError

CORES = faiss.omp_get_max_threads()
SEED = 1234
# Of k-means on the lists: 10 gave the same recall at every nprobe in twice the time (docs/decisions/0016-nlist.md).
ITERATIONS = 4
ROTATED = (Codec.PQ, Codec.RABITQ)
OVERHEAD_BYTES = 8192  # headers, and the fast-scan kernels' last block


def coded_dim(spec: IndexSpec, dim: int) -> int:
    """Return how many leading numbers of a vector (dim,) the codes hold."""
    if spec.dim > dim:
        raise ShapeError(f"dim: expected at most {dim} (the width of the vectors), got {spec.dim}")
    return spec.dim or dim


def leading(vectors: Matrix, dim: int) -> Matrix:
    """Return the first dim numbers of unit vectors (m, width), scaled to unit length."""
    return vectors if dim == vectors.shape[1] else unit_rows(vectors[:, :dim])


def count_subquantizers(spec: IndexSpec, dim: int) -> int:
    """Return the parts of the pq code of vectors of width dim."""
    if spec.n_subquantizers > dim:
        raise ShapeError(
            f"n_subquantizers: expected at most {dim} (the width of the vectors), got {spec.n_subquantizers}"
        )
    return spec.n_subquantizers or (dim if dim % 2 else dim // 2)


def create_index(spec: IndexSpec, dim: int) -> faiss.Index:
    """Return the untrained faiss index (inner product) of a settled spec for coded vectors of width dim."""
    if spec.codec not in ROTATED:
        return _structure(spec, dim)
    rotation = faiss.RandomRotationMatrix(dim, _turned_dim(spec, dim))
    rotation.init(SEED)
    inner = _structure(spec, rotation.d_out)
    index = faiss.IndexPreTransform(rotation, inner)
    index.own_fields = True
    for part in (rotation, inner):
        part.this.disown()
    return index


def _turned_dim(spec: IndexSpec, dim: int) -> int:
    """Return the width behind the rotation: the next that the parts divide."""
    if spec.codec is Codec.RABITQ:
        return dim
    parts = count_subquantizers(spec, dim)
    return ceil(dim / parts) * parts


def _structure(spec: IndexSpec, dim: int) -> faiss.Index:
    metric, bits = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    if spec.kind is IndexType.FLAT:
        if spec.codec is Codec.F32:
            return faiss.IndexFlatIP(dim)
        if spec.codec is Codec.SQ8:
            return faiss.IndexScalarQuantizer(dim, bits, metric)
        if spec.codec is Codec.PQ:
            return faiss.IndexPQFastScan(dim, count_subquantizers(spec, dim), 4, metric)
        return faiss.IndexRaBitQFastScan(dim, metric)
    quantizer = faiss.IndexFlatIP(dim)
    if spec.codec is Codec.F32:
        index = faiss.IndexIVFFlat(quantizer, dim, spec.nlist, metric)
    elif spec.codec is Codec.SQ8:
        # by_residual=False: the code of a vector does not depend on its list, so flat and ivf score alike.
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, spec.nlist, bits, metric, False)
    elif spec.codec is Codec.PQ:
        index = faiss.IndexIVFPQFastScan(quantizer, dim, spec.nlist, count_subquantizers(spec, dim), 4, metric)
        index.by_residual = True
    else:
        index = faiss.IndexIVFRaBitQFastScan(quantizer, dim, spec.nlist, metric)
    index.own_fields = True
    quantizer.this.disown()
    index.cp.seed, index.cp.niter = SEED, ITERATIONS
    return index


def train(index: faiss.Index, sample: Matrix) -> None:
    """Train an index made by `create_index` on coded vectors (n, dim)."""
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        turned = sample if isinstance(index, faiss.IndexIVF) else index.chain.at(0).apply(sample)
        faiss.omp_set_num_threads(CORES)
        faiss.Clustering(lists.d, lists.nlist, lists.cp).train(turned, faiss.downcast_index(lists.quantizer))
    # The many small k-means of a product quantizer lose more by threads that wait for each other than they gain.
    faiss.omp_set_num_threads(1)
    index.train(sample)


def index_bytes(spec: IndexSpec, n: int, dim: int) -> int:
    """Return an upper bound of the bytes that codes and lists of n coded vectors of width dim take."""
    turned = _turned_dim(spec, dim) if spec.codec in ROTATED else dim
    tables = turned * dim * 4 if spec.codec in ROTATED else 0
    if spec.codec is Codec.PQ:
        code, tables = ceil(count_subquantizers(spec, dim) / 2), tables + 16 * turned * 4
    elif spec.codec is Codec.RABITQ:
        code = ceil(dim / 8) + 8
    else:
        code = dim * (4 if spec.codec is Codec.F32 else 1)
    n_bytes = n * code + tables + OVERHEAD_BYTES
    if spec.kind is IndexType.IVF:
        padding = 32 * code if spec.codec in ROTATED else 0  # fast-scan lists hold whole blocks of 32 codes
        n_bytes += n * 8 + spec.nlist * (turned * 4 + padding + 16)
    return n_bytes
