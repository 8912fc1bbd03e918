"""A Ray cluster of several nodes on this machine, for tests: few cores and little memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

NODE = {"object_store_memory": 80 * 2**20}


def import_ray() -> Any:
    """Return the module; without it, skip the tests aloud."""
    return pytest.importorskip("ray", reason='Ray is not installed: pip install "hpdsearch[cluster]"')


@contextmanager
def start_cluster(*cores: int) -> Iterator[Any]:
    """Start a cluster with a head of no cores and a node for each of these numbers of cores, and connect to it."""
    ray = import_ray()
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **NODE})
    try:
        for n in cores:
            cluster.add_node(num_cpus=n, **NODE)
        ray.init(cluster.address, namespace="hpdsearch", log_to_driver=False, logging_level="ERROR")
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def find_workers(node: Any, title: str) -> list[psutil.Process]:
    """Return the processes of a node that run an actor whose class has this name."""
    found = []
    for info in node.all_processes["raylet"]:
        for child in psutil.Process(info.process.pid).children(recursive=True):
            try:
                if title in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:  # it has ended
                continue
    return found
