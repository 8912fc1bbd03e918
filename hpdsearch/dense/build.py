"""Make a faiss index from a vectors file: a bounded training sample, then blocks; measured, then published."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np

from hpdsearch.common.files import BLOCK, atomic_write
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.dense import auto, tuning
from hpdsearch.dense.faiss_factory import CORES, SEED, coded_dim, create_index, leading, train
from hpdsearch.dense.operating_points import OperatingPoints
from hpdsearch.dense.row_map import RowMap
from hpdsearch.dense.segment import Segment
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType
from hpdsearch.dense.vector_file import VectorFile

ADD_ROWS = 16_384
POINTS_PER_LIST = 48  # training sample of k-means: faiss asks for 39 to 256
MINIMUM_SAMPLE = 65_536
MINIMUM_POINTS = 624  # of training, or faiss warns on stderr; with fewer vectors they are repeated
MEASURED_ROWS = 2_000  # smaller segments are searched with RESCORE, unmeasured
RESCORE = {Codec.F32: 5, Codec.SQ8: 5, Codec.PQ: 20, Codec.RABITQ: 50}
SHORTENED_RESCORE = 50  # where the codes hold only leading numbers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexFile:
    """A published faiss file: its settled spec, size, sum, what it takes in memory, and its measured curve."""

    spec: IndexSpec
    size_bytes: int
    sha256: str
    memory_bytes: int
    operating_points: OperatingPoints | None


def build_index(vectors: VectorFile, spec: IndexSpec, path: Path, *, progress: Progress = SILENT) -> IndexFile:
    """Build the index of all rows of a vectors file, settle what the spec leaves open, and publish it at `path`.

    Memory holds the codes, one block and a training sample: POINTS_PER_LIST * nlist vectors, at least MINIMUM_SAMPLE.
    If no setting keeps spec.ann_recall, the best one is taken and curve.is_met is False.

    Raises:
        ShapeError: what was asked for does not fit spec.memory, or spec.dim or spec.n_subquantizers the vectors.
    """
    dim = coded_dim(spec, vectors.dim)
    tries = auto.candidate_specs(spec, vectors.n_rows, dim, lambda n: _sample(vectors, n, dim))
    asked = tuning.draw_held_out(vectors) if _is_measured(tries[0], vectors) else None
    for one in tries:
        index = _filled(vectors, one, dim, progress)
        if asked is None:
            settled, curve = replace(one, rescore=one.rescore or _rescore(one, vectors)), None
            break
        segment = Segment(RowMap(0, vectors.n_rows), vectors, one, index)
        bar = progress.phase("measuring", total=1, unit="step")
        curve, point = tuning.measure(segment, one, asked)
        bar.update(1)
        bar.close()
        settled = replace(one, nprobe=point.nprobe, rescore=point.rescore)
        if curve.is_met:
            break
        logger.info(
            "%s %s: reached %.3f of recall %.3f",
            one.kind.value,
            one.codec.value,
            point.ann_recall_lower,
            spec.ann_recall,
        )
    size, sha256 = _publish(index, path)
    return IndexFile(settled, size, sha256, size, curve)


def _is_measured(spec: IndexSpec, vectors: VectorFile) -> bool:
    exact = spec.kind is IndexType.FLAT and spec.codec is Codec.F32 and spec.dim in (0, vectors.dim)
    return vectors.n_rows >= MEASURED_ROWS and not exact


def _rescore(spec: IndexSpec, vectors: VectorFile) -> int:
    return RESCORE[spec.codec] if spec.dim in (0, vectors.dim) else SHORTENED_RESCORE


def _filled(vectors: VectorFile, spec: IndexSpec, dim: int, progress: Progress) -> faiss.Index:
    index = create_index(spec, dim)
    if not index.is_trained:
        bar = progress.phase("training", total=1, unit="step")
        sample = _sample(vectors, max(POINTS_PER_LIST * spec.nlist, MINIMUM_SAMPLE), dim)
        train(index, np.resize(sample, (max(len(sample), MINIMUM_POINTS), dim)))
        del sample
        bar.update(1)
        bar.close()
    faiss.omp_set_num_threads(CORES)
    bar = progress.phase("indexing", total=vectors.n_rows, unit="vec")
    for start in range(0, vectors.n_rows, ADD_ROWS):
        block = vectors.block(start, min(start + ADD_ROWS, vectors.n_rows))
        index.add(leading(block, dim))
        bar.update(len(block))
    bar.close()
    return index


def _sample(vectors: VectorFile, n: int, dim: int) -> Matrix:
    """Return the leading numbers of n vectors (n, dim) drawn without replacement, or of all; ascending by row."""
    rows = np.arange(vectors.n_rows)
    if vectors.n_rows > n:
        rows = np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))
    sample = np.empty((len(rows), dim), np.float32)
    for start in range(0, len(rows), ADD_ROWS):
        sample[start : start + ADD_ROWS] = leading(vectors.rows(rows[start : start + ADD_ROWS]), dim)
    vectors.release()
    return sample


def _publish(index: faiss.Index, path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with atomic_write(path) as file:

        def write(data: bytes) -> int:
            nonlocal size
            file.write(data)
            digest.update(data)
            size += len(data)
            return len(data)

        faiss.write_index(index, faiss.PyCallbackIOWriter(write, BLOCK))
    return size, digest.hexdigest()
