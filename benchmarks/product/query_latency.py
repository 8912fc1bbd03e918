"""How long does a query take in an opened index: encoding, searching and fetching apart, and in all?

Modes and filters take turns, a pass over all queries each; one query at a time, nothing cached between queries but
what a running program has: the opened index, the loaded encoder, and the rows behind a filter that was used before.
The first use of a filter is measured apart, on a newly opened index.

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
    """Milliseconds that one query took.

    Attributes:
        total: from the text to the hits.
        encode: in the encoder.
        search: in the index and the lexical index, filter, exact scores and fusion.
        fetch: documents from the catalog, and highlights.
    """

    total: float
    encode: float
    search: float
    fetch: float


@dataclass(frozen=True)
class Case:
    """One way to ask."""

    mode: str
    where: str | None = None

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.mode if self.where is None else f"{self.mode} where {self.where}"


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argument_parser(__doc__, "query_latency")
    parser.add_argument("--index", type=Path, required=True, help="index folder")
    parser.add_argument("--queries", type=Path, default=QUERIES, help="text file, a query a line")
    parser.add_argument("--where", action="append", help=f"a filter, may be given again; without: {'; '.join(FILTERS)}")
    parser.add_argument("-k", type=positive, default=10, help="hits wanted")
    options = parser.parse_args()
    queries, filters = read_queries(options.queries), options.where or list(FILTERS)
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
    """Return the encoder that an index was made with."""
    with Index.open(folder) as index:
        return index.info().encoder


def measure(
    folder: Path, encoder: Encoder, queries: Sequence[str], filters: Sequence[str], *, k: int, repeats: int
) -> list[Result]:
    """Return measurements in milliseconds: each mode, each filter (hybrid), each stage; all queries of all rounds."""
    cases = [*(Case(mode) for mode in MODES), *(Case("hybrid", where) for where in filters)]

    def ask_all(case: Case, _: int) -> list[StageTimes]:
        return [time_query(index, encoder, query, case, k) for query in queries]

    def first_use(where: str, number: int) -> list[StageTimes]:
        return [time_first_use(folder, encoder, queries[number % len(queries)], where, k)]

    passes = {case.name: partial(ask_all, case) for case in cases}
    passes |= {f"{FIRST_USE} {where}": partial(first_use, where) for where in filters}
    with Index.open(folder, encoder=encoder) as index:
        rounds = run_interleaved(passes, repeats)
    spent = {name: [one for round_ in listed for one in round_] for name, listed in rounds.items()}
    return [
        measurement(f"{name}, {stage.name}", "ms", values, percentiles=len(values) >= 100)
        for name, all_spent in spent.items()
        for stage in fields(StageTimes)
        if any(values := [getattr(one, stage.name) for one in all_spent])  # lexical search encodes nothing
    ]


def time_query(index: Index, encoder: Encoder, query: str, case: Case, k: int) -> StageTimes:
    """Ask one query and return what it took."""
    with stage_clock(encoder) as clock:
        start = time.perf_counter()
        index.search(query, k, mode=case.mode, where=case.where)
        total = (time.perf_counter() - start) * 1000
    return StageTimes(total, clock["encode"], total - clock["encode"] - clock["fetch"], clock["fetch"])


def time_first_use(folder: Path, encoder: Encoder, query: str, where: str, k: int) -> StageTimes:
    """Ask one query with a filter that a newly opened index has not met; without the filter it answered before."""
    with Index.open(folder, encoder=encoder) as index:
        index.search(query, k)
        return time_query(index, encoder, query, Case("hybrid", where), k)


@contextmanager
def stage_clock(encoder: Encoder) -> Iterator[dict[str, float]]:
    """Give the milliseconds spent in the encoder and in fetching the documents found, inside the block."""
    clock = {"encode": 0.0, "fetch": 0.0}

    def time_stage(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                clock[stage] += (time.perf_counter() - start) * 1000

        return call

    # The package has no clocks of its own; these two calls are where one stage hands over to the next.
    with (
        mock.patch.object(encoder, "encode", time_stage("encode", encoder.encode)),
        mock.patch.object(searcher, "_make_hits", time_stage("fetch", searcher._make_hits)),
    ):
        yield clock


if __name__ == "__main__":
    main()
