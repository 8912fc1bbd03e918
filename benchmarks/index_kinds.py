"""What do kind, codec and rescore cost and keep? The vectors of an index, indexed again in every way.

ann_recall@10 is the share of the exact ten nearest passages (all vectors scored in numpy) that are among the best ten
of the candidates after exact rescoring. One query at a time; the encoder's time is not in it.

    python benchmarks/index_kinds.py --index indexes/wordnet
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from common import QUERIES, arguments, file_identity, interleaved, read_queries
from report import Result, measurement, result, write_result

from hpdsearch import Encoder
from hpdsearch.catalog import Catalog
from hpdsearch.index import Codec, IndexSpec, Kind, Segment, VectorFile, build_index
from hpdsearch.vectors import Matrix

K = 10
RESCORES = (1, 2, 5, 10)
KINDS = ((Kind.FLAT, Codec.F32), (Kind.FLAT, Codec.SQ8), (Kind.IVF, Codec.F32), (Kind.IVF, Codec.SQ8))


def main() -> None:
    """Read the options, measure, write the result."""
    parser = arguments(__doc__, "index_kinds")
    parser.add_argument("--index", type=Path, required=True, help="index folder; its largest segment is taken")
    parser.add_argument("--queries", type=Path, default=QUERIES, help="text file, a query a line")
    options = parser.parse_args()
    vectors, encoder = largest_segment(options.index)
    queries = encoder.encode(read_queries(options.queries))
    with tempfile.TemporaryDirectory() as folder:
        measurements = measure(vectors, queries, Path(folder), options.repeats)
    settings = {
        "repeats": options.repeats,
        "queries": file_identity(options.queries),
        "k": K,
        "n_vectors": vectors.n_rows,
        "dim": vectors.dim,
        "encoder": encoder.name,
    }
    write_result(result("index_kinds", settings, measurements, []), options.output)


def largest_segment(folder: Path) -> tuple[VectorFile, Encoder]:
    """Return the vectors of the largest segment of an index, and the encoder of its queries."""
    catalog = Catalog.open(folder)
    meta, entries = catalog.meta(), catalog.segments()
    catalog.close()
    entry = max(entries, key=lambda entry: entry.n_rows)
    vectors = VectorFile(folder / entry.vectors_file, entry.n_rows, meta["dim"], entry.block_sums)
    return vectors, Encoder.load(meta["encoder"])


def measure(vectors: VectorFile, queries: Matrix, folder: Path, repeats: int) -> list[Result]:
    """Return build seconds, memory, and for each number of candidates ann_recall@10 and milliseconds a query."""
    truth = exact_top(vectors, queries)
    measurements, segments = [], {}
    for kind, codec in KINDS:
        name, path = f"{kind.value} {codec.value}", folder / f"{kind.value}-{codec.value}.faiss"
        start = time.perf_counter()
        made = build_index(vectors, IndexSpec(kind, codec), path)
        measurements.append(measurement(f"{name}, build", "s", [time.perf_counter() - start]))
        segments[name] = Segment.open(0, vectors, made.spec, path, made.sha256)
        measurements.append(measurement(f"{name}, memory", "MB", [segments[name].memory_bytes / 1e6]))
    cases = {
        f"{name}, rescore {rescore}": partial(ask_all, segment, queries, rescore)
        for name, segment in segments.items()
        for rescore in RESCORES
    }
    for name, rounds in interleaved(cases, repeats).items():
        recalls = [recall(found, truth) for found, _ in rounds]
        times = [milliseconds for _, listed in rounds for milliseconds in listed]
        measurements.append(measurement(f"{name}, ann_recall@{K}", "", recalls))
        measurements.append(measurement(f"{name}, query", "ms", times, percentiles=len(times) >= 100))
    return measurements


def ask_all(segment: Segment, queries: Matrix, rescore: int, _: int) -> tuple[list[list[int]], list[float]]:
    """Return the best rows of each query after exact rescoring, and the milliseconds that each took."""
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        (rows,) = segment.candidates(query[None], K * rescore)
        scores = segment.scores(query, rows)
        found.append(rows[np.argsort(-scores, kind="stable")[:K]].tolist())
        times.append((time.perf_counter() - start) * 1000)
    return found, times


def exact_top(vectors: VectorFile, queries: Matrix, block: int = 65_536) -> list[list[int]]:
    """Return the rows of the K largest inner products of each query, over all vectors, in numpy."""
    best_scores = np.full((len(queries), K), -np.inf, np.float32)
    best_rows = np.full((len(queries), K), -1, np.int64)
    for start, rows in blocks(vectors, block):
        scores = np.hstack([best_scores, queries @ rows.T])
        numbers = np.hstack([best_rows, np.tile(np.arange(start, start + len(rows)), (len(queries), 1))])
        top = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(numbers, top, 1)
    return [listed.tolist() for listed in best_rows]


def blocks(vectors: VectorFile, size: int) -> Iterator[tuple[int, Matrix]]:
    """Yield (first row, rows) of a vectors file."""
    for start in range(0, vectors.n_rows, size):
        yield start, vectors.block(start, min(start + size, vectors.n_rows))


def recall(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    """Return the mean share of the true rows that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]))


if __name__ == "__main__":
    main()
