"""Measure the latency of a query in an opened index: encoding, search, fetching and total.

Modes and filters are interleaved; each pass runs all queries, one at a time. As in a running program, the index is
open, the encoder is loaded, and the index caches the rows of a filter after its first use. The first use of each filter
is measured separately, on a newly opened index.

    python -m benchmarks.product.query_latency --index indexes/wordnet
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.common.harness import QUERIES, argument_parser, file_identity, positive, read_queries, run_interleaved
from benchmarks.common.results import Result, measurement, result, target, write_result
from hpdsearch import Encoder, Index
from hpdsearch.search import searcher

MODES = ("dense", "lexical", "hybrid")
FILTERS = ('pos = "verb"', 'domain = "animal"', "words >= 3")  # fields of the sample corpus
FIRST_USE = "first use of"


@dataclass(frozen=True)
class StageTimes:
    """Latency of one query in milliseconds.

    Attributes:
        total: from the query text to the hits.
        encode: encoding the query.
        search: dense and lexical search, filter, rescoring and fusion.
        fetch: documents from the catalog, and highlights.
    """

    total: float
    encode: float
    search: float
    fetch: float


@dataclass(frozen=True)
class Case:
    """A search mode with an optional filter."""

    mode: str
    where: str | None = None

    @property
    def name(self) -> str:
        """Return the label in tables."""
        return self.mode if self.where is None else f"{self.mode} where {self.where}"


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argument_parser(__doc__, "query_latency")
    parser.add_argument("--index", type=Path, required=True, help="index folder")
    parser.add_argument("--queries", type=Path, default=QUERIES, help="text file, one query per line")
    parser.add_argument("--where", action="append", help=f"filter; may be repeated; default: {'; '.join(FILTERS)}")
    parser.add_argument("-k", type=positive, default=10, help="number of hits")
    options = parser.parse_args()
    queries = read_queries(options.queries)
    filters = options.where or list(FILTERS)
    encoder = Encoder.load(index_encoder(options.index))
    with Index.open(options.index, encoder=encoder) as index:
        info = index.info()
        matching = {where: index.count(where) for where in filters}
    measurements = measure(options.index, encoder, queries, filters, k=options.k, repeats=options.repeats)
    settings = {
        "repeats": options.repeats,
        "queries": file_identity(options.queries),
        "n_queries": len(queries),
        "k": options.k,
        "filters": [f"{where} ({n} documents)" for where, n in matching.items()],
        "n_documents": info.n_documents,
        "n_passages": info.n_passages,
        "segments": [f"{s['rows']} rows {s['kind']} {s['codec']}" for s in info.segments],
        "encoder": encoder.name,
        "encoder_hash": encoder.sha256,
    }
    targets = [
        target(item, at_most=15) for item in measurements if item["name"] in {f"{mode}, total" for mode in MODES}
    ]
    write_result(result("query_latency", settings, measurements, targets), options.output)


def index_encoder(folder: Path) -> str:
    """Return the name of an index's encoder."""
    with Index.open(folder) as index:
        return index.info().encoder


def measure(
    folder: Path, encoder: Encoder, queries: Sequence[str], filters: Sequence[str], *, k: int, repeats: int
) -> list[Result]:
    """Return measurements in milliseconds by mode, filter (hybrid search) and stage, over all queries and rounds."""
    cases = [*(Case(mode) for mode in MODES), *(Case("hybrid", where) for where in filters)]

    def run_queries(case: Case, _: int) -> list[StageTimes]:
        return [time_query(index, encoder, query, case, k) for query in queries]

    def first_use(where: str, number: int) -> list[StageTimes]:
        return [time_first_use(folder, encoder, queries[number % len(queries)], where, k)]

    passes = {case.name: partial(run_queries, case) for case in cases}
    passes |= {f"{FIRST_USE} {where}": partial(first_use, where) for where in filters}
    with Index.open(folder, encoder=encoder) as index:
        rounds = run_interleaved(passes, repeats)
    times = {name: [one for round_ in listed for one in round_] for name, listed in rounds.items()}
    return [
        measurement(f"{name}, {stage.name}", "ms", values, percentiles=len(values) >= 100)
        for name, stage_times in times.items()
        for stage in fields(StageTimes)
        if any(values := [getattr(one, stage.name) for one in stage_times])  # lexical search has no encoding
    ]


def time_query(index: Index, encoder: Encoder, query: str, case: Case, k: int) -> StageTimes:
    """Run one query and return its stage times."""
    with stage_clock(encoder) as clock:
        start = time.perf_counter()
        index.search(query, k, mode=case.mode, where=case.where)
        total = (time.perf_counter() - start) * 1000
    return StageTimes(total, clock["encode"], total - clock["encode"] - clock["fetch"], clock["fetch"])


def time_first_use(folder: Path, encoder: Encoder, query: str, where: str, k: int) -> StageTimes:
    """Run a filtered query on a newly opened index that has answered one query without a filter."""
    with Index.open(folder, encoder=encoder) as index:
        index.search(query, k)
        return time_query(index, encoder, query, Case("hybrid", where), k)


@contextmanager
def stage_clock(encoder: Encoder) -> Iterator[dict[str, float]]:
    """Count the milliseconds of encoding and of fetching documents inside the block."""
    clock = {"encode": 0.0, "fetch": 0.0}

    def time_stage(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                clock[stage] += (time.perf_counter() - start) * 1000

        return call

    # The package has no clocks. These two calls are the boundaries of the stages.
    with (
        mock.patch.object(encoder, "encode_queries", time_stage("encode", encoder.encode_queries)),
        mock.patch.object(searcher, "make_hits", time_stage("fetch", searcher.make_hits)),
    ):
        yield clock


if __name__ == "__main__":
    main()
