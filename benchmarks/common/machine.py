"""Describe the machine of a result: processor, memory, versions, commit; measure the memory of this process."""

import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    import psutil
except ModuleNotFoundError as error:
    raise SystemExit(f'{error.name} is missing: pip install "hpdsearch[bench]"') from error

from hpdsearch.encoder.threads import usable_cores

LOAD_BEFORE = psutil.getloadavg()  # read at import, before the benchmark adds its own load
# Flags that determine the speed of matrix products: x86, then arm64.
FEATURES = ("avx", "avx2", "fma", "f16c", "avx_vnni", "asimd", "asimddp", "i8mm", "bf16")
FAMILIES = ("avx512", "amx", "sve")  # prefixes of further flags
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes on macOS, KiB on Linux


def machine() -> dict[str, Any]:
    """Return the properties of this machine that determine its speed, and its load."""
    kernel = ".".join(platform.release().split(".")[:2])
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "features": features(),
        "memory_bytes": psutil.virtual_memory().total,
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
    """Return the vector instruction sets of the processor; empty without /proc/cpuinfo.

    py-cpuinfo is no alternative: it lists AVX-512 sets twice, in two spellings (avx512_vnni, avx512vnni).
    """
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


def resident_bytes() -> dict[str, int]:
    """Return the resident memory of this process: anonymous pages (anon), pages of files (file), and both (all)."""
    memory = psutil.Process().memory_info()
    return {"anon": memory.rss - memory.shared, "file": memory.shared, "all": memory.rss}


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process so far."""
    try:
        # psutil has no peak on Linux, and ru_maxrss may be the peak of the parent process.
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:  # not Linux
        peak = None
    return int(peak[1]) * 1024 if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the installed ones of the packages."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit of this checkout, with "+changes" if files differ; "" without git."""
    try:
        return subprocess.check_output(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+changes", "--exclude=*"],
            text=True,
            stderr=subprocess.DEVNULL,
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
