"""Build and search plain faiss indexes of a vectors file: exact search, IVF, sq8, and binary codes with rescoring.

Each command has a process of its own and prints JSON.

    python -m benchmarks.retrieval.faiss_baselines build '{"vectors": "v.f16", "n": 9, "dim": 768, "index": "i", ...}'
    python -m benchmarks.retrieval.faiss_baselines serve '{... as above, and "queries": "q.npy", "setting": {...}}'

The description also holds "kind", such as "flat f32"; `serve` also reads "seconds".
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.common.machine import resident_bytes
from benchmarks.scale.child import memory_growth, run_queries
from benchmarks.scale.recall import K, Rows, recalls
from benchmarks.scale.systems import iterate_blocks
from benchmarks.scale.timing import CORES
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.dense import Codec, IndexSpec, Kind, VectorFile
from hpdsearch.dense.auto import LISTS_PER_SQRT
from hpdsearch.dense.build import POINTS_PER_LIST
from hpdsearch.dense.faiss_factory import SEED, create_index, train
from hpdsearch.dense.rescoring import MAX_PAIRS, score_and_sort
from hpdsearch.dense.tuning import draw_held_out

MODULE = "retrieval.faiss_baselines"
FLAT, IVF, SQ8, BINARY = "flat f32", "ivf f32", "flat sq8", "flat binary"
SPECS = {
    FLAT: IndexSpec(Kind.FLAT, Codec.F32),
    IVF: IndexSpec(Kind.IVF, Codec.F32),
    SQ8: IndexSpec(Kind.FLAT, Codec.SQ8),
}
RECALL_TARGET = IndexSpec().ann_recall

Search = Callable[[Matrix, int], Rows]
Setting = dict[str, int]


def main() -> None:
    """Run the task of the first argument with the JSON of the second, and print its report."""
    task = {"build": build, "serve": serve}[sys.argv[1]]
    print(json.dumps(task(json.loads(sys.argv[2]))))


def build(task: dict[str, Any]) -> dict[str, Any]:
    """Build an index file and choose nprobe or rescore; return time, size and this setting."""
    start = time.perf_counter()
    kind = task["kind"]
    path = Path(task["index"])
    vectors = VectorFile(Path(task["vectors"]), task["n"], task["dim"])
    if kind == BINARY:
        faiss.write_index_binary(_build_binary(vectors), str(path))
    else:
        faiss.write_index(_fill_index(vectors, SPECS[kind]), str(path))
    setting = _choose_setting(kind, path, vectors)
    return {"seconds": time.perf_counter() - start, "size_bytes": path.stat().st_size, "setting": setting}


def serve(task: dict[str, Any]) -> dict[str, Any]:
    """Open an index and search it; return the growth of resident memory."""
    queries = unit_rows(np.load(task["queries"]))
    before = resident_bytes()
    vectors = VectorFile(Path(task["vectors"]), task["n"], task["dim"])
    search = make_search(load_index(task["kind"], Path(task["index"])), vectors, task["setting"])
    run_queries(lambda query: search(query[None], K), queries, task["seconds"])
    return {"grown": memory_growth(before)}


def load_index(kind: str, path: Path) -> faiss.Index | faiss.IndexBinary:
    """Return the faiss index of a file made by `build`."""
    return faiss.read_index_binary(str(path)) if kind == BINARY else faiss.read_index(str(path))


def make_search(index: faiss.Index | faiss.IndexBinary, vectors: VectorFile, setting: Setting) -> Search:
    """Return the search of an index: (vectors (m, dim), n) -> rows (m, n), best first.

    Args:
        index: from `load_index`.
        vectors: vectors file, for rescoring the candidates of binary codes.
        setting: nprobe of IVF; rescore of binary codes, the candidates per requested hit.
    """
    if isinstance(index, faiss.IndexBinary):
        return lambda queries, n: _rescore(index, vectors, queries, n, setting["rescore"])
    if "nprobe" in setting:
        index.nprobe = setting["nprobe"]
    return lambda queries, n: index.search(queries, n)[1]


def _rescore(index: faiss.IndexBinary, vectors: VectorFile, queries: Matrix, n: int, rescore: int) -> Rows:
    n_candidates = min(n * rescore, index.ntotal)
    step = max(1, MAX_PAIRS // n_candidates)
    blocks = (queries[start : start + step] for start in range(0, len(queries), step))
    return np.concatenate(
        [score_and_sort(vectors, block, index.search(signs(block), n_candidates)[1])[0][:, :n] for block in blocks]
    )


def signs(vectors: Matrix) -> np.ndarray:
    """Return one bit per dimension: vectors (m, dim), dim a multiple of 8 -> (m, dim / 8) bytes."""
    return np.packbits(vectors > 0, axis=1)


def _build_binary(vectors: VectorFile) -> faiss.IndexBinary:
    index = faiss.IndexBinaryFlat(vectors.dim)
    for block in iterate_blocks(vectors):
        index.add(signs(block))
    return index


def _fill_index(vectors: VectorFile, spec: IndexSpec) -> faiss.Index:
    if spec.kind is Kind.IVF:
        nlist = int(LISTS_PER_SQRT[spec.codec] * vectors.n_rows**0.5)
        spec = replace(spec, nlist=min(nlist, vectors.n_rows // 39))
    index = create_index(spec, vectors.dim)
    if not index.is_trained:
        n = min(vectors.n_rows, max(POINTS_PER_LIST * spec.nlist, 65_536))
        train(index, vectors.rows(np.sort(np.random.default_rng(SEED).choice(vectors.n_rows, n, replace=False))))
        faiss.omp_set_num_threads(CORES)
    for block in iterate_blocks(vectors):
        index.add(block)
    return index


def _choose_setting(kind: str, path: Path, vectors: VectorFile) -> Setting:
    """Return the smallest power of 2 that meets the recall target, on the same held-out vectors as our indexes."""
    if kind not in (IVF, BINARY):
        return {}
    held_out = draw_held_out(vectors)
    index = load_index(kind, path)
    tenth = held_out.kth_scores.astype(np.float32)
    name, most = ("nprobe", index.nlist) if kind == IVF else ("rescore", vectors.n_rows // K)
    number = 1
    while number < most:
        found = make_search(index, vectors, {name: number})(held_out.queries, K + 1)
        if recalls(found, held_out.queries, vectors.rows, tenth, held_out.positions)[0] >= RECALL_TARGET:
            break
        number *= 2
    return {name: min(number, most)}


if __name__ == "__main__":
    main()
