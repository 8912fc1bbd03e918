"""Test the description of the machine against /proc."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
machine = importlib.import_module("benchmarks.common.machine")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_memory_and_features_are_those_of_proc():
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert machine.machine()["memory_bytes"] == pytest.approx(kib * 1024, rel=0.01)
    words = Path("/proc/cpuinfo").read_text().split()
    assert all(feature in words for feature in machine.features())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_resident_memory_separates_anonymous_from_file_pages(tmp_path):
    (tmp_path / "file").write_bytes(bytes(30_000_000))
    code = (
        "import json, mmap, sys; from benchmarks.common.machine import resident_bytes; start = resident_bytes();"
        "own = b'1' * 50_000_000; between = resident_bytes();"
        f"file = open({str(tmp_path / 'file')!r}, 'rb'); map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ);"
        "sum(map[::4096]); print(json.dumps([start, between, resident_bytes()]))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)
    start, between, end = json.loads(printed)
    assert 49e6 < between["anon"] - start["anon"] < 60e6
    assert between["file"] - start["file"] < 5e6
    assert 29e6 < end["file"] - between["file"] < 35e6
    assert end["all"] == end["anon"] + end["file"]
