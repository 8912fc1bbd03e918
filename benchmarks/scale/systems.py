"""Build and open the systems of the scale benchmark: our segments, and plain faiss at our and the teacher's width."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.common.harness import module_command, module_environment, run_json
from benchmarks.scale.recall import K, Rows, Take, recalls, tenth_scores
from benchmarks.scale.vectors import VectorFolder, back_project
from hpdsearch.common.vectors import Matrix
from hpdsearch.dense import Codec, IndexSpec, Kind, RowMap, Segment, VectorFile
from hpdsearch.dense.build import POINTS_PER_LIST
from hpdsearch.dense.faiss_factory import ITERATIONS, SEED

TEACHER_EXACT, TEACHER_IVF, EXACT = "teacher's width, exact f32", "teacher's width, ivf f32", "exact f32"
AUTO = "auto"
KINDS, CODECS = (Kind.IVF, Kind.FLAT), (Codec.SQ8, Codec.PQ, Codec.RABITQ)
SPECS = {AUTO: IndexSpec()} | {f"{k.value} {c.value}": IndexSpec(k, c) for k in KINDS for c in CODECS}
# Above these sizes queries, memory or builds take too much.
SMALLER = (TEACHER_EXACT, TEACHER_IVF, AUTO, "flat sq8", "flat pq", "flat rabitq", "ivf sq8", "ivf rabitq")
LARGEST = dict.fromkeys(SMALLER, 1_000_000)
BLOCK_ROWS = 20_000
CHILD = "scale.child"

Search = Callable[[Matrix, int], Rows]  # (queries (m, dim), n) -> rows (m, n), best first


@dataclass(frozen=True)
class QuerySet:
    """Queries of one width, and the scores of their tenth nearest vectors.

    Attributes:
        corpus: vectors (m, dim) of the corpus.
        own: their rows (m,), which are left out of their own answers.
        held_out: vectors (q, dim) of queries that are not in the corpus.
        corpus_tenth, held_out_tenth: scores (m,) and (q,) of the tenth nearest vectors.
        take: rows (n,) -> vectors (n, dim) of the corpus.
    """

    corpus: Matrix
    own: Rows
    held_out: Matrix
    corpus_tenth: Matrix
    held_out_tenth: Matrix
    take: Take

    def recall(self, search: Search) -> tuple[float, float]:
        """Return a system's ann_recall@10 for vectors of the corpus and for held-out queries."""
        (corpus,) = recalls(search(self.corpus, K + 1), self.corpus, self.take, self.corpus_tenth, self.own)
        (held_out,) = recalls(search(self.held_out, K), self.held_out, self.take, self.held_out_tenth)
        return corpus, held_out


@dataclass(frozen=True)
class System:
    """A system to search.

    Attributes:
        name: name in results.
        search: its search.
        queries: its queries.
        about: further keys of its measurements.
    """

    name: str
    search: Search
    queries: QuerySet
    about: dict[str, Any]


def iterate_blocks(vectors: VectorFile) -> Iterator[Matrix]:
    """Yield all vectors of a file in order, in blocks (rows, dim)."""
    for start in range(0, vectors.n_rows, BLOCK_ROWS):
        yield vectors.block(start, min(start + BLOCK_ROWS, vectors.n_rows))


def sample_rows(n: int, m: int) -> Rows:
    """Draw rows (m,) of the corpus as queries, with another seed than tuning."""
    return np.sort(np.random.default_rng([SEED, n]).choice(n, min(m, n // 2), replace=False))


def sample_queries(vectors: VectorFile, held_out: Matrix, m: int) -> QuerySet:
    """Return the queries of our width: m rows of the vectors file, and held-out vectors (q, dim)."""
    own = sample_rows(vectors.n_rows, m)
    corpus = vectors.rows(own)
    rows = np.append(own, np.full(len(held_out), -1))
    tenth = tenth_scores(iterate_blocks(vectors), np.vstack([corpus, held_out]), rows)
    return QuerySet(corpus, own, held_out, tenth[: len(own)], tenth[len(own) :], vectors.rows)


def build_own(vectors: VectorFile, spec: IndexSpec, path: Path, *, rebuild: bool) -> dict[str, Any]:
    """Build one of our indexes in a process of its own and return its report; an existing index is reused."""
    return build_in_process(CHILD, vectors, path, rebuild=rebuild, spec=spec.as_dict())


def serve_own(vectors: VectorFile, made: dict[str, Any], path: Path, queries: Path, **about: Any) -> dict[str, Any]:
    """Open and search one of our indexes in a process of its own and return its report."""
    about |= {"spec": made["spec"], "sha256": made["sha256"], "queries": str(queries)}
    return run_in_process(CHILD, "serve", vectors, path, **about)


def build_in_process(module: str, vectors: VectorFile, path: Path, *, rebuild: bool, **about: Any) -> dict[str, Any]:
    """Run a module that builds an index file and return its report; an existing file is kept unless `rebuild`."""
    record = path.with_suffix(".json")
    if rebuild or not record.exists():
        record.write_text(json.dumps(run_in_process(module, "build", vectors, path, **about)))
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def run_in_process(module: str, name: str, vectors: VectorFile, path: Path, **about: Any) -> dict[str, Any]:
    """Run a module of this package with a task and its description as JSON; return the JSON that it prints."""
    task = {"vectors": str(vectors.path), "n": vectors.n_rows, "dim": vectors.dim, "index": str(path), **about}
    found: dict[str, Any] = run_json(module_command(module, name, json.dumps(task)), env=module_environment())
    return found


def open_own(name: str, vectors: VectorFile, made: dict[str, Any], path: Path, queries: QuerySet) -> System:
    """Open one of our indexes as a system."""
    return System(name, open_search(vectors, made, path), queries, {"spec": made["spec"]})


def open_search(vectors: VectorFile, made: dict[str, Any], path: Path) -> Search:
    """Open one of our indexes and return its search."""
    spec = IndexSpec.from_dict(made["spec"])
    segment = Segment.open(RowMap(0, vectors.n_rows), vectors, spec, path, made["sha256"])
    return lambda queries, n: segment.nearest(queries, n)[0][:, :n]


def raw_candidates(path: Path, spec: IndexSpec) -> Callable[[Matrix], Rows]:
    """Return faiss's own search of one of our index files, for as many candidates and with as many lists probed."""
    index = faiss.read_index(str(path))
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.nprobe = spec.nprobe
    return lambda queries: index.search(queries, min(K * spec.rescore, index.ntotal))[1]


def exact(vectors: VectorFile, queries: QuerySet) -> System:
    """Return faiss's exact search over float32 vectors of our width."""
    index = _flat(vectors.n_rows, vectors.dim, iterate_blocks(vectors))
    return System(
        EXACT, lambda vectors, n: index.search(vectors, n)[1], queries, {"codes_bytes": index.ntotal * index.d * 4}
    )


def open_teachers(
    source: VectorFolder, components: Matrix, n: int, nlist: int, n_queries: tuple[int, int], recall: float, work: Path
) -> list[System]:
    """Return faiss's exact search and, if nlist is not 0, its IVF index, over vectors of the teacher's width.

    Args:
        source: our vectors at full width; the first n are used.
        components: projection (dim, teacher_dim) of the space, for the back-projection.
        n: number of vectors.
        nlist: number of lists.
        n_queries: number of corpus vectors and of held-out queries.
        recall: nprobe is the smallest power of 2 that reaches this ann_recall@10 for vectors of the corpus.
        work: folder in which the IVF index is kept.
    """
    flat = _flat(n, components.shape[1], (back_project(block, components) for block in source.blocks(n)))
    queries = _sample_teacher_queries(flat, back_project(source.queries(n_queries[1]), components), n_queries[0])
    about = {"codes_bytes": n * flat.d * 4}
    systems = [System(TEACHER_EXACT, lambda vectors, k: flat.search(vectors, k)[1], queries, about)]
    if nlist:
        ivf = _open_teacher_ivf(flat, nlist, work / f"teacher-ivf-{n}-{nlist}.faiss")
        while queries.recall(lambda vectors, k: ivf.search(vectors, k)[1])[0] < recall and ivf.nprobe < nlist:
            ivf.nprobe *= 2
        about = {**about, "nlist": nlist, "nprobe": ivf.nprobe}
        systems.append(System(TEACHER_IVF, lambda vectors, k: ivf.search(vectors, k)[1], queries, about))
    return systems


def _flat(n: int, dim: int, blocks: Iterable[Matrix]) -> faiss.Index:
    """Fill a flat index of n vectors block by block; IndexFlat.add would need twice the memory for a moment."""
    index = faiss.IndexFlatIP(dim)
    index.codes.resize(n * dim * 4)
    index.ntotal = n
    start = 0
    stored = faiss.rev_swig_ptr(index.get_xb(), n * dim).reshape(n, dim)
    for block in blocks:
        stored[start : start + len(block)] = block
        start += len(block)
    assert start == n
    return index


def _sample_teacher_queries(flat: faiss.Index, held_out: Matrix, m: int) -> QuerySet:
    own = sample_rows(flat.ntotal, m)
    corpus = flat.reconstruct_batch(own)
    scores, found = flat.search(corpus, K + 1)
    scores[found == own[:, None]] = -np.inf
    corpus_tenth = np.sort(scores, axis=1)[:, -K]
    return QuerySet(corpus, own, held_out, corpus_tenth, flat.search(held_out, K)[0][:, -1], flat.reconstruct_batch)


def _open_teacher_ivf(flat: faiss.Index, nlist: int, path: Path) -> faiss.Index:
    """Return an IVF index of a flat index's vectors, trained as ours are; read it from `path` if it exists."""
    if path.exists():
        return faiss.read_index(str(path))
    quantizer = faiss.IndexFlatIP(flat.d)
    ivf = faiss.IndexIVFFlat(quantizer, flat.d, nlist, faiss.METRIC_INNER_PRODUCT)
    ivf.cp.seed, ivf.cp.niter = SEED, ITERATIONS
    sample = np.random.default_rng(SEED).permutation(flat.ntotal)[: POINTS_PER_LIST * nlist]
    ivf.train(flat.reconstruct_batch(np.sort(sample)))
    for start in range(0, flat.ntotal, 65_536):
        ivf.add(flat.reconstruct_n(start, min(65_536, flat.ntotal - start)))
    faiss.write_index(ivf, str(path))
    del ivf  # it reserves memory that the loaded file does not
    return faiss.read_index(str(path))
