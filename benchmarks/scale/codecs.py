"""Compare codecs on real embeddings: faiss's product quantizer (pq), RaBitQ and 8-bit scalars (sq8).

The benchmark measures recall, milliseconds per query and bytes, for flat and ivf indexes, with and without a random
rotation. Recall is the share of the exact ten nearest vectors among the first 10 to 200 candidates of the codes, before
rescoring. Queries are vectors of the corpus, each left out of its own answer, and held-out queries. The defaults of
`auto` follow these results.

    python -m benchmarks.scale.codecs --vectors vectors/        # scale/vectors.py describes the folder
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
    """An index type with a codec and its parameters.

    Attributes:
        kind: flat or ivf.
        codec: "sq8", "pq" or "rabitq".
        dim: dimensions of a vector.
        size: subquantizers of 4 bits (pq) or bits per dimension (rabitq); 0 for sq8.
        rotated: vectors are first rotated at random.
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
        """Return the faiss factory string."""
        fine = {"sq8": "SQ8", "pq": f"PQ{self.size}x4fs", "rabitq": f"RaBitQfs{self.size if self.size > 1 else ''}"}
        parts = [f"RR{self.width}"] * self.rotated + [f"IVF{nlist}"] * (self.kind == "ivf")
        return ",".join([*parts, fine[self.codec] + "r" * self.residual])

    @property
    def code_bytes(self) -> int:
        """Bytes of the code of a vector."""
        return {"sq8": self.dim, "pq": -(-self.size // 2), "rabitq": 0}[self.codec] or (
            self.size * self.dim // 8
            + (8 if self.size == 1 else 20)  # the rest: factors that faiss stores for the score
        )

    @property
    def name(self) -> str:
        """Return the label in tables."""
        label = {"sq8": "sq8", "pq": f"pq {self.size} parts", "rabitq": f"rabitq {self.size} bit"}[self.codec]
        more = ", rotated" * self.rotated + ", residual" * self.residual
        return f"{self.dim} dims, {self.kind} {label}{more}"


def codec_variants(dim: int) -> list[CodecVariant]:
    """Return the variants of a width: pq of several sizes, one with exactly the bytes of rabitq."""
    equal = 2 * (dim // 8 + 8)  # rabitq takes a bit per dimension and 8 bytes; a subquantizer takes half a byte
    half = dim // 2
    third = -(-dim // 3)
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
    parser.add_argument("--n", type=positive, help="number of vectors; default: all")
    parser.add_argument(
        "--queries",
        type=positive,
        default=1000,
        help="number of held-out queries, and of corpus vectors used as queries",
    )
    parser.add_argument("--dims", type=positive, nargs="+", default=[128, 256], help="dimensions to compare")
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
    """Return measurements of every variant of this width, and its recall by number of candidates."""
    vectors = source.vectors(n, dim)
    held_out = source.queries(n_queries, dim)
    own = np.sort(np.random.default_rng(SEED).choice(n, min(n_queries, n), replace=False))
    query_sets = {"corpus vectors": (vectors[own], own), "questions": (held_out, None)}  # stored
    blocks = [vectors[at : at + 10_000] for at in range(0, n, 10_000)]
    tenth = {name: tenth_scores(blocks, queries, rows) for name, (queries, rows) in query_sets.items()}
    centroids = train_centroids(vectors, nlist)
    measurements, curves, indexes = [], [], {}
    for variant in codec_variants(dim):
        start = time.perf_counter()
        indexes[variant.name] = index = build(variant, vectors, centroids)
        measurements.append(measurement(f"{variant.name}: whole index, a vector", "B", [written_bytes(index) / n]))
        for name, (queries, rows) in query_sets.items():
            _, found = index.search(queries, min(max(CANDIDATES) + 1, n))
            shares = recalls(found, queries, vectors.__getitem__, tenth[name], rows, first=CANDIDATES)
            curves.append(
                {
                    "name": variant.name,
                    **asdict(variant),
                    "code_bytes": variant.code_bytes,
                    "asked": name,
                    "candidates": list(CANDIDATES),
                }
            )
            curves[-1]["recall"] = [six_digits(share) for share in shares]
            at_timed = shares[CANDIDATES.index(TIMED_CANDIDATES)]
            measurements.append(measurement(f"{variant.name}: {name}, found in {TIMED_CANDIDATES}", "", [at_timed]))
        print(f"{variant.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    rounds = run_interleaved({name: partial(time_queries, index, held_out) for name, index in indexes.items()}, repeats)
    for name, listed in rounds.items():
        times = measurement(f"{name}: query", "ms", [np.median(times) for times in listed])
        measurements.append(times)
        for curve in curves:
            if curve["name"] == name:
                curve["milliseconds"] = times["median"]
    return measurements, curves


def train_centroids(vectors: Matrix, nlist: int) -> Matrix:
    """Return centroids (nlist, dim). All ivf indexes share them, so that only their codecs differ."""
    kmeans = faiss.Kmeans(
        vectors.shape[1], nlist, niter=10, seed=SEED, max_points_per_centroid=POINTS_PER_LIST, spherical=False
    )
    kmeans.train(vectors)
    found: Matrix = kmeans.centroids
    return found


def build(variant: CodecVariant, vectors: Matrix, centroids: Matrix) -> faiss.Index:
    """Train an index on a sample and add all vectors."""
    index = faiss.index_factory(variant.dim, variant.factory(len(centroids)), faiss.METRIC_INNER_PRODUCT)
    if variant.rotated:
        rotation = faiss.downcast_VectorTransform(index.chain.at(0))
        rotation.init(SEED)
        centroids = rotation.apply(centroids)
    if variant.kind == "ivf":
        ivf = faiss.extract_index_ivf(index)
        ivf.quantizer.add(centroids)  # training keeps existing centroids
        ivf.nprobe = choose_nprobe(len(centroids))
    rows = np.random.default_rng(SEED).permutation(len(vectors))[:SAMPLE]
    index.train(vectors[np.sort(rows)])
    for start in range(0, len(vectors), 65_536):
        index.add(vectors[start : start + 65_536])
    return index


def written_bytes(index: faiss.Index) -> int:
    """Return the size of the index as a file."""
    size = 0

    def count(data: bytes) -> int:
        nonlocal size
        size += len(data)
        return len(data)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count, 1 << 20))
    return size


def time_queries(index: faiss.Index, queries: Matrix, _: int, *, seconds: float = 10) -> Sequence[float]:
    """Return the milliseconds of each query, one at a time, until the time is over, but of at least 20."""
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
