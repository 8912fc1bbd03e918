"""The systems of the scale benchmark: our segments, and faiss alone at our width and at the teacher's."""

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
# Beyond, a query takes half a second, the vectors more memory than the machine should give, or building too long.
SMALLER = (TEACHER_EXACT, TEACHER_IVF, AUTO, "flat sq8", "flat pq", "flat rabitq", "ivf sq8", "ivf rabitq")
LARGEST = dict.fromkeys(SMALLER, 1_000_000)
BLOCK_ROWS = 20_000
CHILD = "scale.child"


@dataclass(frozen=True)
class QuerySet:
    """Queries of one width and what exact search finds for them.

    Attributes:
        corpus: (m, dim) vectors of the corpus; own: (m,) their rows, which are left out of their answers.
        questions: (q, dim).
        corpus_tenth, questions_tenth: the score of the tenth nearest.
        take: gives the corpus's vectors by row.
    """

    corpus: Matrix
    own: Rows
    questions: Matrix
    corpus_tenth: Matrix
    questions_tenth: Matrix
    take: Take

    def recall(self, search: Callable[[Matrix, int], Rows]) -> tuple[float, float]:
        """Return a system's ann_recall@10 for vectors of the corpus and for questions."""
        (corpus,) = recalls(search(self.corpus, K + 1), self.corpus, self.take, self.corpus_tenth, self.own)
        (questions,) = recalls(search(self.questions, K), self.questions, self.take, self.questions_tenth)
        return corpus, questions


@dataclass(frozen=True)
class System:
    """One way to search.

    Attributes:
        search: queries (m, dim), n -> rows (m, n), best first.
        asked: its queries; None: others are asked.
        about: what else a result tells of it.
    """

    name: str
    search: Callable[[Matrix, int], Rows]
    asked: QuerySet | None
    about: dict[str, Any]


def iterate_blocks(vectors: VectorFile) -> Iterator[Matrix]:
    """Yield all vectors of a file in order, block by block (rows, dim)."""
    for start in range(0, vectors.n_rows, BLOCK_ROWS):
        yield vectors.block(start, min(start + BLOCK_ROWS, vectors.n_rows))


def sample_rows(n: int, m: int) -> Rows:
    """Return the rows (m,) of the corpus that are asked as queries, others than those that tuning asks."""
    return np.sort(np.random.default_rng([SEED, n]).choice(n, min(m, n // 2), replace=False))


def sample_queries(vectors: VectorFile, questions: Matrix, m: int) -> QuerySet:
    """Return the queries of our width: m rows of the vectors file, and questions (q, dim)."""
    own = sample_rows(vectors.n_rows, m)
    corpus = vectors.rows(own)
    places = np.append(own, np.full(len(questions), -1))
    tenth = tenth_scores(iterate_blocks(vectors), np.vstack([corpus, questions]), places)
    return QuerySet(corpus, own, questions, tenth[: len(own)], tenth[len(own) :], vectors.rows)


def build_own(vectors: VectorFile, spec: IndexSpec, path: Path, *, rebuild: bool) -> dict[str, Any]:
    """Build one of our indexes in a process of its own and return what that says; what is there is kept."""
    return build_in_process(CHILD, vectors, path, rebuild=rebuild, spec=spec.as_dict())


def serve_own(vectors: VectorFile, made: dict[str, Any], path: Path, queries: Path, **about: Any) -> dict[str, Any]:
    """Open and ask one of our indexes in a process of its own and return what that says."""
    about |= {"spec": made["spec"], "sha256": made["sha256"], "queries": str(queries)}
    return run_in_process(CHILD, "serve", vectors, path, **about)


def build_in_process(module: str, vectors: VectorFile, path: Path, *, rebuild: bool, **about: Any) -> dict[str, Any]:
    """Run a module that builds an index file and return its report; an existing file is kept unless `rebuild`."""
    record = path.with_suffix(".json")
    if rebuild or not record.exists():
        record.write_text(json.dumps(run_in_process(module, "build", vectors, path, **about)))
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def run_in_process(module: str, what: str, vectors: VectorFile, path: Path, **about: Any) -> dict[str, Any]:
    """Run a module of this package with a task and its description as JSON; return the JSON that it prints."""
    asked = {"vectors": str(vectors.path), "n": vectors.n_rows, "dim": vectors.dim, "index": str(path), **about}
    found: dict[str, Any] = run_json(module_command(module, what, json.dumps(asked)), env=module_environment())
    return found


def open_own(name: str, vectors: VectorFile, made: dict[str, Any], path: Path, asked: QuerySet | None) -> System:
    """Open one of our indexes."""
    spec = IndexSpec.from_dict(made["spec"])
    segment = Segment.open(RowMap(0, vectors.n_rows), vectors, spec, path, made["sha256"])
    return System(name, lambda queries, n: segment.nearest(queries, n)[0][:, :n], asked, {"spec": made["spec"]})


def raw_candidates(path: Path, spec: IndexSpec) -> Callable[[Matrix], Rows]:
    """Return faiss's own search of one of our index files, for as many candidates and with as many lists probed."""
    index = faiss.read_index(str(path))
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.nprobe = spec.nprobe
    return lambda queries: index.search(queries, min(K * spec.rescore, index.ntotal))[1]


def exact(vectors: VectorFile, asked: QuerySet) -> System:
    """Return faiss's exact search over float32 vectors of our width."""
    index = _flat(vectors.n_rows, vectors.dim, iterate_blocks(vectors))
    return System(
        EXACT, lambda queries, n: index.search(queries, n)[1], asked, {"codes_bytes": index.ntotal * index.d * 4}
    )


def open_teachers(
    source: VectorFolder, components: Matrix, n: int, nlist: int, n_asked: tuple[int, int], recall: float, work: Path
) -> list[System]:
    """Return faiss's exact search and, if nlist is not 0, its inverted lists, over vectors of the teacher's width.

    Args:
        source: our vectors, of all directions; the first n are taken.
        components: (dim, teacher_dim) of the space, which pads the vectors back.
        n: vectors.
        nlist: lists.
        recall: nprobe is the smallest power of 2 that finds as much for vectors of the corpus.
        n_asked: vectors of the corpus and questions to ask.
        work: the trained lists are kept there.
    """
    flat = _flat(n, components.shape[1], (back_project(block, components) for block in source.blocks(n)))
    asked = _sample_teacher_queries(flat, back_project(source.queries(n_asked[1]), components), n_asked[0])
    about = {"codes_bytes": n * flat.d * 4}
    systems = [System(TEACHER_EXACT, lambda queries, k: flat.search(queries, k)[1], asked, about)]
    if nlist:
        ivf = _open_teacher_ivf(flat, nlist, work / f"teacher-ivf-{n}-{nlist}.faiss")
        while asked.recall(lambda queries, k: ivf.search(queries, k)[1])[0] < recall and ivf.nprobe < nlist:
            ivf.nprobe *= 2
        about = {**about, "nlist": nlist, "nprobe": ivf.nprobe}
        systems.append(System(TEACHER_IVF, lambda queries, k: ivf.search(queries, k)[1], asked, about))
    return systems


def _flat(n: int, dim: int, blocks: Iterable[Matrix]) -> faiss.Index:
    """Return a flat index of n vectors in blocks; adding them would take twice the memory on the way."""
    index = faiss.IndexFlatIP(dim)
    index.codes.resize(n * dim * 4)
    index.ntotal, start = n, 0
    place = faiss.rev_swig_ptr(index.get_xb(), n * dim).reshape(n, dim)
    for block in blocks:
        place[start : start + len(block)] = block
        start += len(block)
    assert start == n
    return index


def _sample_teacher_queries(flat: faiss.Index, questions: Matrix, m: int) -> QuerySet:
    own = sample_rows(flat.ntotal, m)
    corpus = flat.reconstruct_batch(own)
    scores, found = flat.search(corpus, K + 1)
    scores[found == own[:, None]] = -np.inf
    corpus_tenth = np.sort(scores, axis=1)[:, -K]
    return QuerySet(corpus, own, questions, corpus_tenth, flat.search(questions, K)[0][:, -1], flat.reconstruct_batch)


def _open_teacher_ivf(flat: faiss.Index, nlist: int, path: Path) -> faiss.Index:
    """Return lists as ours have them over the vectors of a flat index; read from `path` if they were made before."""
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
    del ivf  # it has room to grow, which the file leaves out
    return faiss.read_index(str(path))
