"""Which codec keeps most at equal bytes? faiss's product quantizer (pq), RaBitQ and 8-bit numbers on real embeddings.

For flat and ivf indexes, with and without a random rotation of the vectors: the share of the exact ten nearest vectors
among the first 10 to 200 candidates that the codes name, which exact rescoring then sorts; milliseconds a query; bytes.
Asked are vectors of the corpus (each left out for itself) and held-out questions. `auto` rests on this.

    python -m benchmarks.scale.codecs --vectors vectors/        # see scale/vectors.py for what lies there
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.common.harness import argument_parser, positive, run_interleaved
from benchmarks.common.results import Result, measurement, result, six_digits, write_result
from benchmarks.scale.codecs_plot import plot_codecs
from benchmarks.scale.recall import recalls, tenth_scores
from benchmarks.scale.vectors import VectorFolder, describe_vectors
from hpdsearch.common.vectors import Matrix

CANDIDATES = (10, 20, 50, 100, 200)
TIMED_CANDIDATES = 100
SEED = 1
POINTS_PER_LIST, SAMPLE = 48, 100_000


@dataclass(frozen=True)
class CodecVariant:
    """One way to keep vectors.

    Attributes:
        kind: flat or ivf.
        codec: "sq8", "pq" or "rabitq".
        dim: numbers a vector.
        size: parts of 4 bits (pq) or bits a number (rabitq); 0 for sq8.
        rotated: turned by a random rotation first.
        residual: pq codes the difference from the list's centroid (ivf).
    """

    kind: str
    codec: str
    dim: int
    size: int = 0
    rotated: bool = False
    residual: bool = False

    @property
    def width(self) -> int:
        """Dimensions after the rotation: a multiple of the subquantizers."""
        return -(-self.dim // self.size) * self.size if self.codec == "pq" else self.dim

    def factory(self, nlist: int) -> str:
        """Return its faiss factory string."""
        fine = {"sq8": "SQ8", "pq": f"PQ{self.size}x4fs", "rabitq": f"RaBitQfs{self.size if self.size > 1 else ''}"}
        parts = [f"RR{self.width}"] * self.rotated + [f"IVF{nlist}"] * (self.kind == "ivf")
        return ",".join([*parts, fine[self.codec] + "r" * self.residual])

    @property
    def code_bytes(self) -> int:
        """Bytes of the code of a vector."""
        return {"sq8": self.dim, "pq": -(-self.size // 2), "rabitq": 0}[self.codec] or (
            self.size * self.dim // 8 + (8 if self.size == 1 else 20)  # and what faiss adds to score by
        )

    @property
    def name(self) -> str:
        """Its name in tables."""
        words = {"sq8": "sq8", "pq": f"pq {self.size} parts", "rabitq": f"rabitq {self.size} bit"}[self.codec]
        more = ", rotated" * self.rotated + ", residual" * self.residual
        return f"{self.dim} dims, {self.kind} {words}{more}"


def codec_variants(dim: int) -> list[CodecVariant]:
    """Return what is compared at a width: pq of several sizes, one of them with exactly rabitq's bytes."""
    equal = 2 * (dim // 8 + 8)  # rabitq takes a bit a number and 8 bytes; a part of pq takes half a byte
    half, third = dim // 2, -(-dim // 3)
    return [
        CodecVariant("flat", "sq8", dim),
        *(CodecVariant("flat", "pq", dim, size, rotated=True) for size in sorted({dim // 4, third, equal, half, dim})),
        CodecVariant("flat", "pq", dim, half),
        *(CodecVariant("flat", "rabitq", dim, bits, rotated) for bits, rotated in ((1, True), (1, False), (2, True))),
        CodecVariant("ivf", "sq8", dim),
        *(
            CodecVariant("ivf", "pq", dim, s, True, residual)
            for s in sorted({third, equal, half})
            for residual in (False, True)
        ),
        CodecVariant("ivf", "pq", dim, half, residual=True),
        *(CodecVariant("ivf", "rabitq", dim, 1, rotated) for rotated in (True, False)),
    ]


def main() -> None:
    """Read the options, measure, write the result and the picture."""
    parser = argument_parser(__doc__, "index_codecs", repeats=3)
    parser.add_argument("--vectors", type=Path, required=True, help="folder of vectors")
    parser.add_argument("--n", type=positive, help="vectors to take; without: all that there are")
    parser.add_argument("--queries", type=positive, default=1000, help="questions, and as many vectors of the corpus")
    parser.add_argument("--dims", type=positive, nargs="+", default=[128, 256])
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    source = VectorFolder(options.vectors)
    n = min(options.n or source.n_real, source.n_real)
    nlist = max(1, min(int(4 * n**0.5), n // 39))
    measured = [measure(source, n, dim, nlist, options.queries, options.repeats) for dim in options.dims]
    settings = {
        **describe_vectors(source, [n]),
        "repeats": options.repeats,
        "n_queries": options.queries,
        "dims": options.dims,
        "nlist": nlist,
        "nprobe": choose_nprobe(nlist),
        "timed": f"one query at a time, one thread, {TIMED_CANDIDATES} candidates",
    }
    made = result("index_codecs", settings, [item for items, _ in measured for item in items], [])
    made["curves"] = [curve for _, curves in measured for curve in curves]
    write_result(made, options.output)
    plot_codecs(made, options.output.with_suffix(".svg"))


def choose_nprobe(nlist: int) -> int:
    """Return nprobe: large enough that the codec, not the probing, limits recall."""
    return max(1, nlist // 16)


def measure(
    source: VectorFolder, n: int, dim: int, nlist: int, n_queries: int, repeats: int
) -> tuple[list[Result], list[dict[str, Any]]]:
    """Return measurements of every way of this width, and its recall by number of candidates."""
    vectors, questions = source.vectors(n, dim), source.queries(n_queries, dim)
    own = np.sort(np.random.default_rng(SEED).choice(n, min(n_queries, n), replace=False))
    asked = {"corpus vectors": (vectors[own], own), "questions": (questions, None)}
    blocks = [vectors[at : at + 10_000] for at in range(0, n, 10_000)]
    tenth = {name: tenth_scores(blocks, queries, rows) for name, (queries, rows) in asked.items()}
    centroids = train_centroids(vectors, nlist)
    measurements, curves, indexes = [], [], {}
    for way in codec_variants(dim):
        start = time.perf_counter()
        indexes[way.name] = index = build(way, vectors, centroids)
        measurements.append(measurement(f"{way.name}: whole index, a vector", "B", [written_bytes(index) / n]))
        for name, (queries, rows) in asked.items():
            _, found = index.search(queries, min(max(CANDIDATES) + 1, n))
            shares = recalls(found, queries, vectors.__getitem__, tenth[name], rows, first=CANDIDATES)
            curves.append(
                {
                    "name": way.name,
                    **asdict(way),
                    "code_bytes": way.code_bytes,
                    "asked": name,
                    "candidates": list(CANDIDATES),
                }
            )
            curves[-1]["recall"] = [six_digits(share) for share in shares]
            at_timed = shares[CANDIDATES.index(TIMED_CANDIDATES)]
            measurements.append(measurement(f"{way.name}: {name}, found in {TIMED_CANDIDATES}", "", [at_timed]))
        print(f"{way.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    rounds = run_interleaved({name: partial(ask_all, index, questions) for name, index in indexes.items()}, repeats)
    for name, listed in rounds.items():
        times = measurement(f"{name}: query", "ms", [np.median(times) for times in listed])
        measurements.append(times)
        for curve in curves:
            if curve["name"] == name:
                curve["milliseconds"] = times["median"]
    return measurements, curves


def train_centroids(vectors: Matrix, nlist: int) -> Matrix:
    """Return centroids (nlist, dim), which all ivf indexes share, so that their codecs alone differ."""
    kmeans = faiss.Kmeans(
        vectors.shape[1], nlist, niter=10, seed=SEED, max_points_per_centroid=POINTS_PER_LIST, spherical=False
    )
    kmeans.train(vectors)
    found: Matrix = kmeans.centroids
    return found


def build(way: CodecVariant, vectors: Matrix, centroids: Matrix) -> faiss.Index:
    """Return the index of all vectors, trained on a sample."""
    index = faiss.index_factory(way.dim, way.factory(len(centroids)), faiss.METRIC_INNER_PRODUCT)
    if way.rotated:
        rotation = faiss.downcast_VectorTransform(index.chain.at(0))
        rotation.init(SEED)
        centroids = rotation.apply(centroids)
    if way.kind == "ivf":
        ivf = faiss.extract_index_ivf(index)
        ivf.quantizer.add(centroids)  # training leaves them as they are then
        ivf.nprobe = choose_nprobe(len(centroids))
    rows = np.random.default_rng(SEED).permutation(len(vectors))[:SAMPLE]
    index.train(vectors[np.sort(rows)])
    for start in range(0, len(vectors), 65_536):
        index.add(vectors[start : start + 65_536])
    return index


def written_bytes(index: faiss.Index) -> int:
    """Return the bytes of the index as a file."""
    size = 0

    def count(data: bytes) -> int:
        nonlocal size
        size += len(data)
        return len(data)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count, 1 << 20))
    return size


def ask_all(index: faiss.Index, queries: Matrix, _: int, *, seconds: float = 10) -> Sequence[float]:
    """Return the milliseconds of each query, asked one at a time, as many as the seconds allow (20 at least)."""
    times: list[float] = []
    for query in queries:
        start = time.perf_counter()
        index.search(query[None], min(TIMED_CANDIDATES, index.ntotal))
        times.append((time.perf_counter() - start) * 1000)
        if sum(times) > seconds * 1000 and len(times) >= 20:
            break
    return times


if __name__ == "__main__":
    main()
