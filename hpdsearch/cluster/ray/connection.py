"""The connection to a Ray cluster: without usage reports, without a dashboard, and given up at the end."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hpdsearch.errors import ClusterError, require_extra

LOCAL = "local"  # the address that starts a cluster of this machine for one command
NAMESPACE = "hpdsearch"  # of named actors


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingExtraError: it is not.
    """
    require_extra("ray", extra="cluster", feature="--ray")


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Connect to a cluster while the block runs; a connection that this process has already is used and stays.

    Args:
        address: "auto" (the cluster of this machine), "local" (a new one, which ends with the block), or HOST:PORT.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no such cluster, or it has another version of Ray or Python.
    """
    require_ray()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # docs/decisions/0048-forks-and-reports.md
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's warning of a coming change
    import ray

    if ray.is_initialized():
        yield
        return
    local = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"--ray {address}: cannot connect ({str(error).splitlines()[0] if str(error) else error!r}); start a "
            "cluster with: ray start --head, or use --ray local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
