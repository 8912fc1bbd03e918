"""Queries to all programs, interleaved: warm queries to running programs, cold ones to new processes."""

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
MIN_P95_QUERIES = 20  # questions in a round of which a 95th percentile tells more than the slowest one

T = TypeVar("T")


def interleave_queries(
    ready: Mapping[str, IndexedEngine], options: argparse.Namespace, asked: Mapping[str, Any], failed: dict[str, str]
) -> list[Result]:
    """Open all programs, judge what each finds for all questions, then ask them in turns.

    Args:
        ready: by name.
        options: of this run.
        asked: "queries" and "qrels" of engines/data.py.
        failed: gets how a program failed, by its name, or by its name and what of it failed.
    """
    env, texts, made = environment(options.threads), list(asked["queries"].values()), []
    with ExitStack() as running, pin_to_cores(options.threads):
        servers: dict[str, Server] = {}
        for name, one in ready.items():
            print(f"{name}: answers", file=sys.stderr)
            try:
                words = [*one.command, "serve", one.folder, "--model", one.model]
                server = running.enter_context(Server.start(words, env))
                ids = collect_answers(server, texts, options.judge_seconds)
            except EngineError as error:
                failed[name] = f"answering: {error}"
                continue
            servers[name] = server
            if len(ids) < len(texts):
                said = f"{len(ids)} of {len(texts)} questions answered in {options.judge_seconds:g} s"
                failed[f"{name}: {NDCG}"] = said
                continue
            try:
                ndcg = evaluate_run(asked["qrels"], dict(zip(asked["queries"], ids, strict=True)))[NDCG]
                made.append(engine_measurement(name, NDCG, "", [np.mean(list(ndcg.values()))]))
            except SystemExit as error:  # it found a document twice
                failed[f"{name}: {NDCG}"] = last_error_line(error)
        warm = {name: partial(_round, server, texts, options) for name, server in servers.items()}
        for name, rounds in run_survivors(warm, options.repeats, "warm query", failed).items():
            made += _warm_rows(name, rounds)
    return made


def cold_queries(
    ready: Mapping[str, IndexedEngine], options: argparse.Namespace, asked: Mapping[str, Any], failed: dict[str, str]
) -> list[Result]:
    """Ask one question of each program that answered before, in a new process every time; see `asked_in_turns`."""
    cold = {name: partial(_cold, one, options.threads) for name, one in ready.items() if name not in failed}
    with pin_to_cores(options.threads):
        seconds = run_survivors(cold, options.repeats, "cold query", failed)
    return [engine_measurement(name, "cold query", "s", values) for name, values in seconds.items()]


def run_survivors(
    cases: Mapping[str, Callable[[int], T]], repeats: int, what: str, failed: dict[str, str]
) -> dict[str, list[T]]:
    """Run the cases interleaved; one that fails is not run again, `failed` tells how, and the others go on."""

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
    """Return the ids that each question finds, in order, as far as the seconds last."""
    found: list[list[str]] = []
    end = time.perf_counter() + seconds
    for text in texts:
        found += server.ask([text])["ids"]
        if time.perf_counter() > end:
            break
    return found


def _round(server: Server, texts: Sequence[str], options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Ask some of the questions, others in every round as long as there are others; a slow program is asked fewer."""
    whole: dict[str, Any] = {"seconds": [], "encode_seconds": []}
    for place in range(options.asked):
        one = server.ask([texts[((number + 1) * options.asked + place) % len(texts)]])
        whole["seconds"] += one["seconds"]
        whole["encode_seconds"] += one["encode_seconds"] or []
        if sum(whole["seconds"]) > options.seconds:
            break
    return whole | {"resident_bytes": one["resident_bytes"]}


def _cold(one: IndexedEngine, threads: int, _: int) -> float:
    """Return the seconds of a new process that answers a question.

    Raises:
        EngineError: it answered with nothing.
        SystemExit: it failed.
    """
    words = [*one.command, "query", one.folder, "--model", one.model, "--text", COLD]
    done = run(words, env=environment(threads))
    said = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not said or not json.loads(said[-1]):
        raise EngineError(f"expected hits for {COLD!r}, got none")
    return done.seconds


def _warm_rows(name: str, rounds: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return percentiles a round of whole queries, and of encoding and searching where they can be told apart."""
    parts = {"warm query": [np.array(one["seconds"]) for one in rounds]}
    if all(one["encode_seconds"] for one in rounds):
        parts["encode"] = [np.array(one["encode_seconds"]) for one in rounds]
        parts["search"] = [whole - spent for whole, spent in zip(parts["warm query"], parts["encode"], strict=True)]
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
