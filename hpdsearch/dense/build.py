"""Build a faiss index from a vectors file: train on a bounded sample, add blocks, measure, write the file."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np

from hpdsearch.common.files import BLOCK, atomic_write
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, Rows
from hpdsearch.dense import auto, tuning
from hpdsearch.dense.faiss_factory import SEED, coded_dim, count_cores, create_index, train, truncate
from hpdsearch.dense.operating_points import OperatingPoints
from hpdsearch.dense.row_map import RowMap
from hpdsearch.dense.segment import Segment
from hpdsearch.dense.spec import Codec, IndexSpec, IndexType
from hpdsearch.dense.vector_file import VectorFile

ADD_ROWS = 16_384
POINTS_PER_LIST = 48  # training sample of k-means: faiss recommends 39 to 256
MINIMUM_SAMPLE = 65_536
MINIMUM_POINTS = 624  # faiss warns on stderr about fewer training vectors, so fewer ones are repeated
MEASURED_ROWS = 2_000  # smaller segments are not measured and use DEFAULT_RESCORE
DEFAULT_RESCORE = {Codec.F32: 5, Codec.SQ8: 5, Codec.PQ: 20, Codec.RABITQ: 50}
TRUNCATED_RESCORE = 50  # where the codes hold fewer dimensions than the vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexFile:
    """A faiss index file that was written.

    Attributes:
        spec: resolved: no value is auto or open.
        size_bytes: size of the file.
        sha256: of the file, in hexadecimal.
        memory_bytes: what the loaded index takes in memory.
        operating_points: measured on held-out vectors; None: not measured.
    """

    spec: IndexSpec
    size_bytes: int
    sha256: str
    memory_bytes: int
    operating_points: OperatingPoints | None


@dataclass(frozen=True)
class TrainedCodes:
    """An index without rows, trained on vectors of several indexes, which have its centroids and codebooks.

    Attributes:
        spec: resolved apart from nprobe and rescore.
        path: the faiss file.
    """

    spec: IndexSpec
    path: Path


def build_index(
    vectors: VectorFile,
    spec: IndexSpec,
    path: Path,
    *,
    progress: Progress = SILENT,
    trained: TrainedCodes | None = None,
) -> IndexFile:
    """Build the index of all rows of a vectors file, resolve the open values of the spec, and write it to `path`.

    Memory holds the codes, one block and a training sample of POINTS_PER_LIST * nlist vectors, at least MINIMUM_SAMPLE.
    If no setting meets spec.ann_recall, the best one is taken and operating_points.is_met is False.

    Args:
        vectors: the vectors file.
        spec: the index that was asked for.
        path: the file to write.
        progress: shows a bar for each phase.
        trained: begin with these codes, whose spec takes the place of the open values; None: train on the vectors.

    Raises:
        ShapeError: no index fits spec.memory, or spec.dim or spec.n_subquantizers exceed the vectors' dimensions.
    """
    dim = coded_dim(spec, vectors.dim)
    if trained is None:
        candidates = auto.candidate_specs(spec, vectors.n_rows, dim, lambda n: _draw_sample(vectors, n, dim))
    else:
        candidates = [trained.spec]
        if spec.codec is Codec.AUTO and trained.spec.codec is Codec.PQ and not spec.memory:
            candidates += auto.candidate_specs(spec, vectors.n_rows, dim, lambda n: _draw_sample(vectors, n, dim))[1:]
    held_out = tuning.draw_held_out(vectors) if _is_measured(candidates[0], vectors) else None
    measured: OperatingPoints | None = None
    for candidate in candidates:
        path_trained = trained.path if trained is not None and candidate is trained.spec else None
        index = _fill_index(vectors, candidate, dim, progress, path_trained)
        if held_out is None:
            resolved = replace(candidate, rescore=candidate.rescore or _default_rescore(candidate, vectors))
            break
        segment = Segment(RowMap(0, vectors.n_rows), vectors, candidate, index)
        bar = progress.phase("measuring", total=1, unit="step")
        measured, point = tuning.measure(segment, candidate, held_out)
        bar.update(1)
        bar.close()
        resolved = replace(candidate, nprobe=point.nprobe, rescore=point.rescore)
        if measured.is_met:
            break
        message = "%s %s: ann_recall is at least %.3f, the target is %.3f"
        logger.info(message, candidate.kind.value, candidate.codec.value, point.ann_recall_lower, spec.ann_recall)
    size, sha256 = _write_index(index, path)
    return IndexFile(resolved, size, sha256, size, measured)


def _is_measured(spec: IndexSpec, vectors: VectorFile) -> bool:
    is_exact = spec.kind is IndexType.FLAT and spec.codec is Codec.F32 and spec.dim in (0, vectors.dim)
    return vectors.n_rows >= MEASURED_ROWS and not is_exact


def _default_rescore(spec: IndexSpec, vectors: VectorFile) -> int:
    return DEFAULT_RESCORE[spec.codec] if spec.dim in (0, vectors.dim) else TRUNCATED_RESCORE


def _fill_index(
    vectors: VectorFile, spec: IndexSpec, dim: int, progress: Progress, trained: Path | None
) -> faiss.Index:
    """Return the trained index of all rows, truncated to `dim` dimensions."""
    index = faiss.read_index(str(trained)) if trained else _train_index(vectors, spec, dim, progress)
    faiss.omp_set_num_threads(count_cores())
    bar = progress.phase("indexing", total=vectors.n_rows, unit="vec")
    for start in range(0, vectors.n_rows, ADD_ROWS):
        block = vectors.block(start, min(start + ADD_ROWS, vectors.n_rows))
        index.add(truncate(block, dim))
        bar.update(len(block))
    bar.close()
    return index


def _train_index(vectors: "VectorFile | JoinedVectors", spec: IndexSpec, dim: int, progress: Progress) -> faiss.Index:
    """Return an index without rows, trained on a sample of the vectors, truncated to `dim` dimensions."""
    index = create_index(spec, dim)
    if not index.is_trained:
        bar = progress.phase("training", total=1, unit="step")
        sample = _draw_sample(vectors, max(POINTS_PER_LIST * spec.nlist, MINIMUM_SAMPLE), dim)
        if len(sample) < MINIMUM_POINTS:
            sample = np.resize(sample, (MINIMUM_POINTS, dim))
        train(index, sample)
        del sample
        bar.update(1)
        bar.close()
    return index


class JoinedVectors:
    """Several vectors files, whose rows follow one another, for drawing a sample of all.

    Attributes:
        n_rows: rows of all files.
        dim: dimensions of a vector.
    """

    def __init__(self, files: Sequence[VectorFile]) -> None:
        """Take open files, at least one."""
        self._files = files
        self._ends = np.cumsum([file.n_rows for file in files])
        self.n_rows = int(self._ends[-1])
        self.dim = files[0].dim

    def rows(self, positions: Rows) -> Matrix:
        """Return the vectors (m, dim), unit length, at these positions (m,), ascending."""
        parts = []
        for file, end in zip(self._files, self._ends.tolist(), strict=True):
            own = positions[(positions >= end - file.n_rows) & (positions < end)]
            parts.append(file.rows(own - (end - file.n_rows)))
        return np.concatenate(parts)

    def release(self) -> None:
        """Release the mapped memory; reading again is possible."""
        for file in self._files:
            file.release()


def train_codes(
    files: Sequence[VectorFile], spec: IndexSpec, path: Path, *, progress: Progress = SILENT
) -> TrainedCodes:
    """Choose the index for the vectors of several files, train it on a sample of all, and write it without rows.

    The first index that the spec allows is taken: how well each file meets the recall target is measured when its
    codes are built.

    Args:
        files: vectors files, at least one row together.
        spec: the index that was asked for; its values are meant for all files together.
        path: the file to write.
        progress: shows a bar.

    Raises:
        ShapeError: as in `build_index`.
    """
    joined = JoinedVectors(files)
    dim = coded_dim(spec, joined.dim)
    resolved = auto.candidate_specs(spec, joined.n_rows, dim, lambda n: _draw_sample(joined, n, dim))[0]
    _write_index(_train_index(joined, resolved, dim, progress), path)
    return TrainedCodes(resolved, path)


def _draw_sample(vectors: VectorFile | JoinedVectors, n: int, dim: int) -> Matrix:
    """Return the truncated vectors (m, dim), m <= n, of rows drawn without replacement; ascending by row."""
    rows = np.arange(vectors.n_rows)
    if vectors.n_rows > n:
        rows = np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))
    sample = np.empty((len(rows), dim), np.float32)
    for start in range(0, len(rows), ADD_ROWS):
        sample[start : start + ADD_ROWS] = truncate(vectors.rows(rows[start : start + ADD_ROWS]), dim)
    vectors.release()
    return sample


def _write_index(index: faiss.Index, path: Path) -> tuple[int, str]:
    """Write an index file; return its size in bytes and its sha256."""
    digest = hashlib.sha256()
    size = 0
    with atomic_write(path) as file:

        def write(data: bytes) -> int:
            nonlocal size
            file.write(data)
            digest.update(data)
            size += len(data)
            return len(data)

        faiss.write_index(index, faiss.PyCallbackIOWriter(write, BLOCK))
    return size, digest.hexdigest()
