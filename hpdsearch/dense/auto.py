"""What `auto` makes of a spec: a list of settled specs to try in turn, by count, measured scan time and memory."""

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

FEW = 10_000  # so few vectors are scanned in well under a millisecond: flat sq8 without measuring
GOAL_MS = 5.0  # of one query's scan of all codes
IVF_MINIMUM = 5_000  # below this a list holds too few vectors to be worth a centroid (faiss asks for 39 a list)
TIMED_TRAINING = 4_096
TIMED_CODES = 65_536
# For f32 and sq8 the rule of faiss's guidelines. A fast-scan code is looked at ten times as fast as a centroid: half as
# many lists answer as fast at equal recall, and are trained and filled in half the time (docs/decisions/0016-nlist.md).
LISTS_PER_SQRT = {Codec.F32: 4, Codec.SQ8: 4, Codec.PQ: 2, Codec.RABITQ: 2}


def candidate_specs(spec: IndexSpec, n: int, dim: int, sample: Callable[[int], Matrix]) -> list[IndexSpec]:
    """Return the settled specs (nprobe and rescore still as asked) to build in turn until one keeps the promise.

    Args:
        spec: as asked.
        n: vectors.
        dim: width of the coded vectors.
        sample: count -> that many of them (m, dim), to time a scan on.

    Raises:
        ShapeError: nothing of what was asked fits spec.memory.
    """
    tries = list(_tries(spec, n, dim, sample))
    fitting = [one for one in tries if not spec.memory or index_bytes(one, n, dim) <= spec.memory]
    if not fitting:
        least = min(index_bytes(one, n, dim) for one in tries)
        raise ShapeError(
            f"memory: {spec.memory:,} bytes are too few for {n:,} vectors of {dim} numbers; the smallest index of what "
            f"was asked for takes {least:,} (a smaller --dim takes less, and so may another kind or codec)"
        )
    first = fitting[0]
    exact = [one for one in fitting if one.codec is Codec.SQ8]
    return [first] if first.codec is not Codec.PQ or spec.codec is not Codec.AUTO else [first, *exact[:1]]


def _tries(spec: IndexSpec, n: int, dim: int, sample: Callable[[int], Matrix]) -> Iterator[IndexSpec]:
    """Yield what the spec allows, the most wanted first."""
    parts = count_subquantizers(spec, dim)
    smaller = [] if spec.n_subquantizers else [p for p in (ceil(dim / 3), ceil(dim / 4)) if p < parts]
    if spec.codec is not Codec.AUTO:
        codecs = [(spec.codec, [parts])]
    elif spec.ann_recall == 1:
        codecs = [(Codec.F32, [0])]
    elif n < FEW:
        codecs = [(Codec.SQ8, [0]), (Codec.PQ, [parts, *smaller])]
    else:
        codecs = [(Codec.PQ, [parts, *smaller]), (Codec.SQ8, [0])]
    for codec, sizes in codecs:
        for kind in _kinds(replace(spec, codec=codec), n, sample):
            for size in sizes:
                yield _settled(
                    replace(spec, kind=kind, codec=codec, n_subquantizers=size if codec is Codec.PQ else 0), n
                )


def _kinds(spec: IndexSpec, n: int, sample: Callable[[int], Matrix]) -> list[IndexType]:
    if n < IVF_MINIMUM or spec.kind is IndexType.FLAT:
        return [IndexType.FLAT]
    if spec.kind is IndexType.IVF:
        return [IndexType.IVF]
    if n < FEW or scan_milliseconds(spec, n, sample(TIMED_CODES)) < GOAL_MS:
        return [IndexType.FLAT]
    return [IndexType.IVF, IndexType.FLAT]  # flat codes take less memory


def scan_milliseconds(spec: IndexSpec, n: int, sample: Matrix) -> float:
    """Return the time of one query's scan of n codes, as that of a sample's codes tells."""
    index = create_index(replace(spec, kind=IndexType.FLAT), sample.shape[1])
    index.train(sample[:TIMED_TRAINING])
    index.add(sample)
    faiss.omp_set_num_threads(1)
    seconds = []
    for query in sample[:10]:
        start = time.perf_counter()
        index.search(query[None], 100)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) * 1000 * n / len(sample)


def _settled(spec: IndexSpec, n: int) -> IndexSpec:
    if spec.kind is IndexType.FLAT:
        return replace(spec, nlist=0, nprobe=0)
    nlist = min(spec.nlist or int(LISTS_PER_SQRT[spec.codec] * sqrt(n)), n // 39)
    return replace(spec, nlist=nlist, nprobe=min(spec.nprobe, nlist))
