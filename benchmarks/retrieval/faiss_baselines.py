"""faiss alone over a vectors file: exact search, inverted lists, one byte a number, one bit a number with rescoring.

Each is made, or opened and asked, in a process of its own; prints JSON.

    python -m benchmarks.retrieval.faiss_baselines build '{"vectors": "v.f16", "n": 9, "dim": 768, "index": "i", ...}'
    python -m benchmarks.retrieval.faiss_baselines serve '{... as above, and "queries": "q.npy", "setting": {...}}'

The description also holds "kind", such as "flat f32"; `serve` takes "seconds" besides.
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

from benchmarks.scale.child import memory_growth, query_for, resident_bytes
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
FLAT, LISTS, BYTES, BITS = "flat f32", "ivf f32", "flat sq8", "flat binary"
SPECS = {
    FLAT: IndexSpec(Kind.FLAT, Codec.F32),
    LISTS: IndexSpec(Kind.IVF, Codec.F32),
    BYTES: IndexSpec(Kind.FLAT, Codec.SQ8),
}
RECALL_TARGET = IndexSpec().ann_recall

Search = Callable[[Matrix, int], Rows]
Setting = dict[str, int]


def main() -> None:
    """Do what the first argument names with what the second describes."""
    work = {"build": build, "serve": serve}[sys.argv[1]]
    print(json.dumps(work(json.loads(sys.argv[2]))))


def build(asked: dict[str, Any]) -> dict[str, Any]:
    """Make an index file, choose what it leaves open, and tell what that took."""
    start, kind, path = time.perf_counter(), asked["kind"], Path(asked["index"])
    vectors = VectorFile(Path(asked["vectors"]), asked["n"], asked["dim"])
    if kind == BITS:
        faiss.write_index_binary(_build_binary(vectors), str(path))
    else:
        faiss.write_index(_fill_index(vectors, SPECS[kind]), str(path))
    setting = _choose_setting(kind, path, vectors)
    return {"seconds": time.perf_counter() - start, "size_bytes": path.stat().st_size, "setting": setting}


def serve(asked: dict[str, Any]) -> dict[str, Any]:
    """Open an index, ask it one query after the other, and tell by how much the resident memory grew."""
    queries = unit_rows(np.load(asked["queries"]))
    before = resident_bytes()
    vectors = VectorFile(Path(asked["vectors"]), asked["n"], asked["dim"])
    search = make_search(load_index(asked["kind"], Path(asked["index"])), vectors, asked["setting"])
    query_for(lambda query: search(query[None], K), queries, asked["seconds"])
    return {"grown": memory_growth(before)}


def load_index(kind: str, path: Path) -> faiss.Index | faiss.IndexBinary:
    """Return the faiss index of a file made by `build`."""
    return faiss.read_index_binary(str(path)) if kind == BITS else faiss.read_index(str(path))


def make_search(index: faiss.Index | faiss.IndexBinary, vectors: VectorFile, setting: Setting) -> Search:
    """Return the search of an index: vectors (m, dim), n -> rows (m, n), best first.

    Args:
        index: see `loaded`.
        vectors: by which the candidates of one bit a number are scored again.
        setting: nprobe of IVF; rescore of binary codes: candidates per requested hit.
    """
    if isinstance(index, faiss.IndexBinary):
        return lambda queries, n: _rescore(index, vectors, queries, n, setting["rescore"])
    if "nprobe" in setting:
        index.nprobe = setting["nprobe"]
    return lambda queries, n: index.search(queries, n)[1]


def _rescore(index: faiss.IndexBinary, vectors: VectorFile, queries: Matrix, n: int, rescore: int) -> Rows:
    wanted = min(n * rescore, index.ntotal)
    step = max(1, MAX_PAIRS // wanted)
    blocks = (queries[start : start + step] for start in range(0, len(queries), step))
    return np.concatenate(
        [score_and_sort(vectors, block, index.search(signs(block), wanted)[1])[0][:, :n] for block in blocks]
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
    """Return the smallest power of 2 that meets the recall target, on the vectors that tune our own indexes."""
    if kind not in (LISTS, BITS):
        return {}
    asked, index = draw_held_out(vectors), load_index(kind, path)
    tenth = asked.kth_scores.astype(np.float32)
    name, most = ("nprobe", index.nlist) if kind == LISTS else ("rescore", vectors.n_rows // K)
    number = 1
    while number < most:
        found = make_search(index, vectors, {name: number})(asked.queries, K + 1)
        if recalls(found, asked.queries, vectors.rows, tenth, asked.positions)[0] >= RECALL_TARGET:
            break
        number *= 2
    return {name: min(number, most)}


if __name__ == "__main__":
    main()
