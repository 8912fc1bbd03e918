"""Describe the machine of a result: processor, memory, versions, commit."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hpdsearch.encoder.threads import usable_cores

LOAD_BEFORE = os.getloadavg()  # taken now: later the benchmark's own load would be in it
# What decides how fast matrix products are: x86 flags, then those of arm64.
FEATURES = ("avx", "avx2", "fma", "f16c", "avx_vnni", "asimd", "asimddp", "i8mm", "bf16")
FAMILIES = ("avx512", "amx", "sve")  # beginnings of many flags


def machine() -> dict[str, Any]:
    """Return what of this machine decides its speed, and how busy it was."""
    kernel = ".".join(platform.release().split(".")[:2])
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "features": features(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {kernel} {platform.machine()}",
        "python": platform.python_version(),
        "load_average_before": [round(load, 2) for load in LOAD_BEFORE],
    }


def processor() -> str:
    """Return the processor's model name."""
    if sys.platform == "darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return cpuinfo("model name") or platform.machine()


def features() -> list[str]:
    """Return the vector instructions that the processor says it has; empty where it cannot be asked."""
    flags = (cpuinfo("flags") or cpuinfo("Features") or "").split()
    return [flag for flag in flags if flag in FEATURES or flag.startswith(FAMILIES)]


def cpuinfo(key: str) -> str | None:
    """Return the first value of a key of /proc/cpuinfo, or None."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    found = re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed here."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit of this checkout, with "+changes" if files differ from it; "" outside of git."""
    try:
        return subprocess.check_output(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+changes", "--exclude=*"],
            text=True,
            stderr=subprocess.DEVNULL,
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
