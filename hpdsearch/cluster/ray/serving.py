"""The HTTP service on Ray Serve: copies of the application, which search through the actors of the shards."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hpdsearch.cluster.ray.connection import connect
from hpdsearch.cluster.ray.ray_index import DEADLINE_SECONDS, RayIndex
from hpdsearch.errors import ServeError
from hpdsearch.serve.settings import Settings

APPLICATION = "hpdsearch"


def make_app(folders: Sequence[str], settings: Settings, replicas: int, deadline: float) -> Any:
    """Return the application of one copy, in the process that serves it.

    Args:
        folders: of the indexes.
        settings: who may use it.
        replicas: actors of each shard, which the command has started.
        deadline: seconds that a search waits for the shards.
    """
    from hpdsearch.serve.app import create_app
    from hpdsearch.serve.indexes import Indexes
    from hpdsearch.serve.metrics import Metrics

    def open_index(folder: Path, **options: Any) -> RayIndex:
        return RayIndex(folder, replicas=replicas, deadline=deadline, is_shared=True, **options)

    metrics = Metrics()
    indexes = Indexes([Path(folder) for folder in folders], settings.limits, metrics.batch.observe, open_index)
    return create_app(indexes, settings, metrics)


def start(
    folders: Sequence[Path], settings: Settings, port: int, *, replicas: int, deadline: float, stack: ExitStack
) -> str:
    """Start actors for the shards and copies of the application on the cluster; return the address.

    Args:
        folders: indexes in shards, on storage that all nodes see by the same path.
        settings: who may use the service.
        port: of the proxies of Ray Serve.
        replicas: actors of each shard, and copies of the application.
        deadline: seconds that a search waits for the shards.
        stack: ends the actors and the application.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    for folder in folders:
        own = RayIndex(folder, replicas=replicas, deadline=deadline, is_shared=True)
        stack.callback(own.close)
        stack.callback(own.end_actors)
    places = [str(folder.resolve()) for folder in folders]
    serve.start(http_options={"host": settings.host, "port": port, "access_log": False})
    stack.callback(serve.shutdown)

    def build_app() -> Any:
        return make_app(places, settings, replicas, deadline)

    copies = serve.deployment(num_replicas=replicas, ray_actor_options={"num_cpus": 0})
    application = copies(serve.ingress(build_app)()).bind()
    serve.run(application, name=APPLICATION, route_prefix="/")
    return f"http://{settings.host}:{port}"


def run_on_ray(
    folders: Sequence[Path],
    settings: Settings,
    port: int,
    announce: Callable[[str], object],
    *,
    address: str,
    replicas: int = 1,
    deadline: float = DEADLINE_SECONDS,
) -> None:
    """Serve indexes on a cluster until SIGINT or SIGTERM.

    Args:
        folders: as in `start`.
        settings: as in `start`.
        port: as in `start`; not 0.
        announce: is told the address when the service answers.
        address: as in `connect`.
        replicas: as in `start`.
        deadline: as in `start`.

    Raises:
        ServeError: the port is 0.
        MissingExtraError, ClusterError: as in `RayIndex`.
    """
    if port == 0:
        raise ServeError("--port 0: Ray Serve needs a port; choose one")
    ended = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(connect(address))
        url = start(folders, settings, port, replicas=replicas, deadline=deadline, stack=stack)
        for number in (signal.SIGINT, signal.SIGTERM):
            former = signal.signal(number, lambda *_: ended.set())
            stack.callback(signal.signal, number, former)
        announce(url)
        ended.wait()
