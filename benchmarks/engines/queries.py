"""Time interleaved queries: warm queries go to running programs, cold queries to new processes."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import numpy as np

from benchmarks.common.harness import run, run_interleaved
from benchmarks.common.ir_metrics import NDCG, evaluate_run
from benchmarks.common.results import Result
from benchmarks.engines.indexing import IndexedEngine, environment
from benchmarks.engines.processes import MARK, EngineError, Server, engine_measurement, last_error_line, pin_to_cores

COLD = "what is the incubation period"
MIN_P95_QUERIES = 20  # queries per round from which on a 95th percentile differs from the maximum

T = TypeVar("T")


def interleave_queries(
    ready: Mapping[str, IndexedEngine], options: argparse.Namespace, data: Mapping[str, Any], failed: dict[str, str]
) -> list[Result]:
    """Open all programs, evaluate the hits of each for all queries, then time interleaved queries.

    Args:
        ready: programs with an index, by name.
        options: options of this run.
        data: "queries" and "qrels" of engines/data.py.
        failed: output; the error by the program's name, or by its name and the failed measurement.
    """
    env = environment(options.threads)
    texts = list(data["queries"].values())
    made = []
    with ExitStack() as running, pin_to_cores(options.threads):
        servers: dict[str, Server] = {}
        for name, one in ready.items():
            print(f"{name}: searching", file=sys.stderr)
            try:
                command = [*one.command, "serve", one.folder, "--model", one.model]
                server = running.enter_context(Server.start(command, env))
                ids = collect_answers(server, texts, options.judge_seconds)
            except EngineError as error:
                failed[name] = f"answering: {error}"
                continue
            servers[name] = server
            if len(ids) < len(texts):
                failed[f"{name}: {NDCG}"] = (
                    f"{len(ids)} of {len(texts)} queries answered in {options.judge_seconds:g} s"
                )
                continue
            try:
                ndcg = evaluate_run(data["qrels"], dict(zip(data["queries"], ids, strict=True)))[NDCG]
                made.append(engine_measurement(name, NDCG, "", [float(np.mean(list(ndcg.values())))]))
            except SystemExit as error:  # a ranking contains a document twice
                failed[f"{name}: {NDCG}"] = last_error_line(error)
        warm = {name: partial(_round, server, texts, options) for name, server in servers.items()}
        for name, rounds in run_survivors(warm, options.repeats, "warm query", failed).items():
            made += _warm_rows(name, rounds)
    return made


def cold_queries(
    ready: Mapping[str, IndexedEngine], options: argparse.Namespace, data: Mapping[str, Any], failed: dict[str, str]
) -> list[Result]:
    """Time one query in a new process per round, for each program without an error; see `interleave_queries`."""
    cold = {name: partial(_cold, one, options.threads) for name, one in ready.items() if name not in failed}
    with pin_to_cores(options.threads):
        seconds = run_survivors(cold, options.repeats, "cold query", failed)
    return [engine_measurement(name, "cold query", "s", values) for name, values in seconds.items()]


def run_survivors(
    cases: Mapping[str, Callable[[int], T]], repeats: int, what: str, failed: dict[str, str]
) -> dict[str, list[T]]:
    """Run the cases interleaved; a case that fails is not run again, and its error is added to `failed`."""

    def unless_failed(name: str, number: int) -> T | None:
        if (key := f"{name}: {what}") not in failed:
            try:
                return cases[name](number)
            except (EngineError, SystemExit) as error:
                failed[key] = last_error_line(error)
        return None

    found = run_interleaved({name: partial(unless_failed, name) for name in cases}, repeats)
    return {
        name: [value for value in values if value is not None]
        for name, values in found.items()
        if f"{name}: {what}" not in failed
    }


def collect_answers(server: Server, texts: Sequence[str], seconds: float) -> list[list[str]]:
    """Return the ids of the hits of each query, in order, until the time is over."""
    found: list[list[str]] = []
    end = time.perf_counter() + seconds
    for text in texts:
        found += server.search([text])["ids"]
        if time.perf_counter() > end:
            break
    return found


def _round(server: Server, texts: Sequence[str], options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Time some queries, different ones in each round; stop early if the program is slow."""
    spent: dict[str, Any] = {"seconds": [], "encode_seconds": []}
    for position in range(options.n_queries):
        one = server.search([texts[((number + 1) * options.n_queries + position) % len(texts)]])
        spent["seconds"] += one["seconds"]
        spent["encode_seconds"] += one["encode_seconds"] or []
        if sum(spent["seconds"]) > options.seconds:
            break
    return spent | {"resident_bytes": one["resident_bytes"]}


def _cold(one: IndexedEngine, threads: int, _: int) -> float:
    """Return the seconds of a new process that answers one query.

    Raises:
        EngineError: the program found no hits.
        SystemExit: the program failed.
    """
    command = [*one.command, "query", one.folder, "--model", one.model, "--text", COLD]
    done = run(command, env=environment(threads))
    answers = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not answers or not json.loads(answers[-1]):
        raise EngineError(f"expected hits for {COLD!r}, got none")
    return done.seconds


def _warm_rows(name: str, rounds: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return percentiles per round of queries, and of encoding and search if the adapter reports them."""
    parts = {"warm query": [np.array(one["seconds"]) for one in rounds]}
    if all(one["encode_seconds"] for one in rounds):
        parts["encode"] = [np.array(one["encode_seconds"]) for one in rounds]
        parts["search"] = [total - encode for total, encode in zip(parts["warm query"], parts["encode"], strict=True)]
    fewest = min(len(one["seconds"]) for one in rounds)
    made = [
        engine_measurement(
            name, f"{part} p{percent}", "ms", [1000 * np.percentile(times, percent) for times in of_rounds]
        )
        | {"queries_a_round": fewest}
        for part, of_rounds in parts.items()
        for percent in ((50, 95) if fewest >= MIN_P95_QUERIES else (50,))
    ]
    resident = [one["resident_bytes"] for one in rounds]
    return [
        *made,
        *([engine_measurement(name, "serving memory", "MB", [one / 1e6 for one in resident])] if all(resident) else []),
    ]
