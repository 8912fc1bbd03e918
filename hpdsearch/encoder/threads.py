"""The number of cores that this process may use."""

import os
from pathlib import Path

THREADS = "HPDSEARCH_THREADS"  # environment variable: a process may use so many cores at most
CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")


def usable_cores() -> int:
    """Return the number of cores that affinity mask, container quota and HPDSEARCH_THREADS allow, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    if quota:
        cores = min(cores, int(quota + 0.5))
    limit = os.environ.get(THREADS, "")
    return max(1, min(cores, int(limit)) if limit.isdecimal() else cores)


def cgroup_quota() -> float | None:
    """Return the container's quota of processor time in cores; None if it is unlimited or unknown."""
    try:
        if CGROUP_V2.exists():
            allowed, period = CGROUP_V2.read_text().split()
        else:
            allowed = (CGROUP_V1 / "cpu.cfs_quota_us").read_text()
            period = (CGROUP_V1 / "cpu.cfs_period_us").read_text()
        return int(allowed) / int(period) if int(allowed) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" (unlimited), or a system without cgroups
        return None
