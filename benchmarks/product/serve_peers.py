"""Compare the HTTP services of hpdsearch, txtai and Chroma on the same texts, which `engines.run` has indexed.

All services run at the same time, and one after the other gets the load, in interleaved rounds: clients that each wait
for an answer before they send the next query. hpdsearch and txtai encode the queries. Chroma's server only compares
vectors, so its clients send vectors that were encoded before the run: its rate leaves out what encoding costs.

    python -m benchmarks.product.serve_peers --work ~/.cache/hpdsearch-bench/engines-work
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common.environments import PEERS, baseline_python, baseline_versions
from benchmarks.common.harness import (
    CACHE,
    MODELS,
    QUERIES,
    argument_parser,
    file_identity,
    positive,
    read_queries,
    run,
)
from benchmarks.common.results import Result, measurement, result, write_result
from benchmarks.engines.indexing import environment
from benchmarks.product.serve import Load, Request, run_clients, search_requests, serving

START_SECONDS = 120
MINILM = MODELS / "all-MiniLM-L6-v2"
COLLECTION = "documents"  # of peers/engines/chroma_engine.py
CHROMA_PATH = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@dataclass(frozen=True)
class Service:
    """A service that runs.

    Attributes:
        name: in the result.
        port: on this machine.
        pid: of its process.
        requests: yields its requests without end, one for each query.
    """

    name: str
    port: int
    pid: int
    requests: Iterator[Request]


def main() -> None:
    """Start the services, measure, write the result."""
    parser = argument_parser(__doc__, "serve_peers", repeats=3)
    parser.add_argument("--work", type=Path, default=CACHE / "engines-work", help="work folder of engines.run")
    parser.add_argument("--n", type=positive, default=100_000, help="number of documents")
    parser.add_argument("--queries", type=Path, default=QUERIES, help="text file, one query per line")
    parser.add_argument("--clients", nargs="+", type=positive, default=[1, 8, 32])
    parser.add_argument("--seconds", type=positive, default=8, help="length of a run with one number of clients")
    parser.add_argument("-k", type=positive, default=10, help="number of hits")
    options = parser.parse_args()
    queries = read_queries(options.queries)
    with ExitStack() as stack:
        services = [stack.enter_context(start(options, queries)) for start in (own_service, txtai, chroma)]
        services.append(dense_of(services[0], queries, options.k))
        measurements = measure(services, options)
    settings = {
        "queries": file_identity(options.queries),
        "n": options.n,
        "k": options.k,
        "seconds": options.seconds,
        "repeats": options.repeats,
        "chroma": "its clients send vectors that were encoded before",
    }
    versions = {
        **baseline_versions(txtai_python(), ("txtai", "fastapi", "uvicorn", "torch")),
        **baseline_versions(chroma_python(), ("chromadb",)),
    }
    write_result(result("serve_peers", settings, measurements, [], versions=versions), options.output)


def measure(services: Sequence[Service], options: Any) -> list[Result]:
    """Return searches a second and latencies of each service by number of clients, in interleaved rounds."""
    loads: dict[tuple[str, int], list[Load]] = {}
    for service in services:
        asyncio.run(run_clients(service.port, service.requests, 2, 3))  # warm up
    for _ in range(options.repeats):
        for n_clients in options.clients:
            for service in services:
                load = asyncio.run(run_clients(service.port, service.requests, n_clients, options.seconds))
                loads.setdefault((service.name, n_clients), []).append(load)
    made = []
    for (name, n_clients), of_case in loads.items():
        case = {"system": name, "clients": n_clients}
        rates = [len(load.milliseconds) / load.seconds for load in of_case]
        latency = measurement(
            f"{name}, {n_clients} clients, latency",
            "ms",
            [ms for load in of_case for ms in load.milliseconds],
            percentiles=True,
        )
        latency["values"] = []  # tens of thousands
        rate = measurement(f"{name}, {n_clients} clients, searches a second", "1/s", rates)
        errors = measurement(f"{name}, {n_clients} clients, errors", "", [sum(load.n_errors for load in of_case)])
        made += [one | case for one in (rate, latency, errors)]
        print(f"{name}, {n_clients} clients: {rate['median']:.0f}/s, p95 {latency['p95']:.1f} ms", file=sys.stderr)
    for service in services:
        megabytes = [psutil.Process(service.pid).memory_info().rss / 1e6]
        made.append(measurement(f"{service.name}, memory", "MB", megabytes) | {"system": service.name})
    return made


@contextmanager
def own_service(options: Any, queries: Sequence[str]) -> Iterator[Service]:
    """Start `hpdsearch serve`, hybrid search by base."""
    with serving(options.work / f"{options.n}-hpdsearch,-base" / "index") as (port, pid):
        requests = search_requests(queries, {"k": options.k, "mode": "hybrid"})
        yield Service("hpdsearch, base, hybrid", port, pid, requests)


def dense_of(service: Service, queries: Sequence[str], k: int) -> Service:
    """Return hpdsearch's service with dense search."""
    requests = search_requests(queries, {"k": k, "mode": "dense"})
    return Service("hpdsearch, base, dense", service.port, service.pid, requests)


@contextmanager
def txtai(options: Any, queries: Sequence[str]) -> Iterator[Service]:
    """Start txtai's API."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "app.yml"
        index = options.work / f"{options.n}-txtai" / "index"
        config.write_text(f"path: {index}\nwritable: false\nembeddings:\n  path: {MINILM}\n")
        command = [txtai_python(), "-m", "uvicorn", "txtai.api:app", "--port", port, "--log-level", "error"]
        paths = [f"/search?{urllib.parse.urlencode({'query': query, 'limit': options.k})}" for query in queries]
        with started(command, port, "/count", {"CONFIG": str(config)}) as pid:
            requests: Iterator[Request] = (("GET", path, None) for path in itertools.cycle(paths))
            yield Service("txtai, all-MiniLM-L6-v2", port, pid, requests)


@contextmanager
def chroma(options: Any, queries: Sequence[str]) -> Iterator[Service]:
    """Start Chroma's server; encode the queries by the model of its collection."""
    port = free_port()
    python = chroma_python()
    folder = options.work / f"{options.n}-Chroma" / "index"
    command = [python.with_name("chroma"), "run", "--path", folder, "--port", port]
    with tempfile.TemporaryDirectory() as scratch:
        texts, vectors = Path(scratch) / "texts.json", Path(scratch) / "vectors.json"
        texts.write_text(json.dumps(queries))
        run([python, PEERS / "encode_queries.py", MINILM, texts, vectors], env=environment(2))
        encoded = json.loads(vectors.read_text())
    with started(command, port, "/api/v2/heartbeat", {}) as pid:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{CHROMA_PATH}/{COLLECTION}") as answer:
            path = f"{CHROMA_PATH}/{json.load(answer)['id']}/query"

        common = {"n_results": options.k, "include": ["distances"]}
        requests: Iterator[Request] = (
            ("POST", path, {"query_embeddings": [vector], **common}) for vector in itertools.cycle(encoded)
        )
        yield Service("Chroma, vectors given", port, pid, requests)


def txtai_python() -> Path:
    """Return the interpreter of the environment of txtai's server; the first call installs it."""
    return baseline_python(CACHE / "txtai-server", PEERS / "txtai_server.txt", constraints=None)


def chroma_python() -> Path:
    """Return the interpreter of Chroma's environment, which engines.run shares."""
    requirements = PEERS / "engines" / "chroma_engine.txt"
    return baseline_python(CACHE / "engines" / "chroma_engine", requirements, constraints=None)


@contextmanager
def started(command: Sequence[Any], port: int, ready: str, variables: dict[str, str]) -> Iterator[int]:
    """Start a service and wait until it answers; yield its process id.

    Raises:
        SystemExit: it does not answer in time.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, **environment(2), **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}{ready}", str(command[0]))
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], address: str, name: str) -> None:
    """Ask until the service answers.

    Raises:
        SystemExit: it ended, or does not answer in time.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(
        f"{name}: expected a service at {address} within {START_SECONDS} s, got exit code {process.poll()}"
    )


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
