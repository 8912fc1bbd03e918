"""Resolve the open values of a spec by the number of vectors, the measured scan time and the memory limit."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil, sqrt

import faiss
import numpy as np

from hpdsearch.common.vectors import Matrix
from hpdsearch.dense.faiss_factory import count_subquantizers, create_index, index_bytes
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType
from hpdsearch.errors import ShapeError

SMALL_INDEX_ROWS = 10_000  # a scan of fewer vectors takes well under a millisecond: flat sq8 without measuring
SCAN_LATENCY_MS = 5.0  # the latency goal of flat: one query's scan of all codes
IVF_MINIMUM = 5_000  # with fewer vectors a list is too short to be worth a centroid
MIN_ROWS_PER_LIST = 39  # faiss warns below this number of training vectors for each centroid
TIMED_TRAINING_ROWS = (
    640  # bad codes are scanned as fast as good ones; faiss warns below 39 rows for each of 16 centroids
)
TIMED_ROWS = 65_536
TIMED_BLOCK_ROWS = 8_192
# f32 and sq8: the guidelines of faiss (wiki, "Guidelines to choose an index"). A fast-scan code is scanned ten times as
# fast as a centroid: half as many lists give the same latency at equal recall, and are trained and filled in half the
# time (docs/decisions/0016-nlist.md).
LISTS_PER_SQRT = {Codec.F32: 4, Codec.SQ8: 4, Codec.PQ: 2, Codec.RABITQ: 2}


def candidate_specs(spec: IndexSpec, n: int, dim: int, sample: Callable[[int], Matrix]) -> list[IndexSpec]:
    """Return the specs to build in turn until one meets the recall target: one or two.

    Only nprobe and rescore stay open in them.

    Args:
        spec: as the user gave it.
        n: vectors.
        dim: dimensions of the coded vectors.
        sample: m -> at most m of the coded vectors (m, dim), on which a scan is timed.

    Raises:
        ShapeError: no index that the spec allows fits spec.memory.
    """
    allowed = list(_allowed_specs(spec, n, dim, sample))
    fitting = [one for one in allowed if not spec.memory or index_bytes(one, n, dim) <= spec.memory]
    if not fitting:
        smallest = min(index_bytes(one, n, dim) for one in allowed)
        raise ShapeError(
            f"memory: expected at least {smallest:,} bytes for {n:,} vectors of {dim} dimensions, got {spec.memory:,}; "
            "a smaller --dim takes less, and so may another index type or codec"
        )
    first = fitting[0]
    if first.codec is not Codec.PQ or spec.codec is not Codec.AUTO:
        return [first]
    return [first, *[one for one in fitting if one.codec is Codec.SQ8][:1]]


def _allowed_specs(spec: IndexSpec, n: int, dim: int, sample: Callable[[int], Matrix]) -> Iterator[IndexSpec]:
    """Yield every resolved spec that the user's spec allows, best first."""
    default = count_subquantizers(spec, dim)
    smaller = [] if spec.n_subquantizers else [m for m in (ceil(dim / 3), ceil(dim / 4)) if m < default]
    if spec.codec is not Codec.AUTO:
        codecs = [(spec.codec, [default])]
    elif spec.ann_recall == 1:
        codecs = [(Codec.F32, [0])]
    elif n < SMALL_INDEX_ROWS:
        codecs = [(Codec.SQ8, [0]), (Codec.PQ, [default, *smaller])]
    else:
        codecs = [(Codec.PQ, [default, *smaller]), (Codec.SQ8, [0])]
    for codec, sizes in codecs:
        for kind in _choose_types(replace(spec, codec=codec), n, sample):
            for size in sizes:
                n_subquantizers = size if codec is Codec.PQ else 0
                yield resolve_lists(replace(spec, kind=kind, codec=codec, n_subquantizers=n_subquantizers), n)


def _choose_types(spec: IndexSpec, n: int, sample: Callable[[int], Matrix]) -> list[IndexType]:
    """Return the index types to consider for a codec, best first."""
    if n < IVF_MINIMUM or spec.kind is IndexType.FLAT:
        return [IndexType.FLAT]
    if spec.kind is IndexType.IVF:
        return [IndexType.IVF]
    if n < SMALL_INDEX_ROWS or scan_milliseconds(spec, n, sample(TIMED_ROWS)) < SCAN_LATENCY_MS:
        return [IndexType.FLAT]
    return [IndexType.IVF, IndexType.FLAT]  # flat codes take less memory


def scan_milliseconds(spec: IndexSpec, n: int, sample: Matrix) -> float:
    """Return the time of one query's scan of n codes, extrapolated from that of a sample (m, dim)."""
    index = create_index(replace(spec, kind=IndexType.FLAT), sample.shape[1])
    faiss.omp_set_num_threads(1)  # also for training: see `train` in faiss_factory
    index.train(sample[:TIMED_TRAINING_ROWS])
    for first in range(0, len(sample), TIMED_BLOCK_ROWS):  # faiss rotates a copy of what it adds
        index.add(sample[first : first + TIMED_BLOCK_ROWS])
    seconds = []
    for query in sample[:10]:
        start = time.perf_counter()
        index.search(query[None], 100)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) * 1000 * n / len(sample)


def resolve_lists(spec: IndexSpec, n: int) -> IndexSpec:
    """Return the spec with nlist set, and nprobe within it."""
    if spec.kind is IndexType.FLAT:
        return replace(spec, nlist=0, nprobe=0)
    nlist = min(spec.nlist or int(LISTS_PER_SQRT[spec.codec] * sqrt(n)), n // MIN_ROWS_PER_LIST)
    return replace(spec, nlist=nlist, nprobe=min(spec.nprobe, nlist))
