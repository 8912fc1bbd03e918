"""Processes that are forked from one that has everything loaded, and has never run a thread."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import pytest

pytest.register_assert_rewrite("states", "brute_force")

Start = Callable[..., tuple[ForkServerProcess, Connection]]


@pytest.fixture(scope="session")
def fork_server() -> ForkServerContext:
    """Return a context whose processes start within milliseconds."""
    if not hasattr(os, "fork"):
        pytest.skip("these tests fork processes and kill them")
    context = multiprocessing.get_context("forkserver")
    # Only what is installed: the server does not look beside the tests.
    context.set_forkserver_preload(
        ["hpdsearch.engine", "hpdsearch.distill.export", "faiss", "onnxruntime", "tokenizers", "pytest"]
    )
    return context


@pytest.fixture
def start(fork_server: ForkServerContext) -> Iterator[Start]:
    """Start a process that runs function(pipe, *args); whatever still runs when the test ends is killed."""
    started: list[tuple[ForkServerProcess, Connection]] = []

    def begin(function: Callable[..., None], *args: Any) -> tuple[ForkServerProcess, Connection]:
        ours, theirs = fork_server.Pipe()
        process = fork_server.Process(target=function, args=(theirs, *args))
        process.start()
        theirs.close()
        started.append((process, ours))
        return process, ours

    yield begin
    for process, pipe in started:
        if process.is_alive():
            process.kill()
        process.join()
        pipe.close()
        process.close()
