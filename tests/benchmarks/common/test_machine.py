"""Test the description of the machine against /proc."""

import importlib
from pathlib import Path

import pytest

machine = importlib.import_module("benchmarks.common.machine")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_memory_and_features_are_those_of_proc():
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert machine.machine()["memory_bytes"] == pytest.approx(kib * 1024, rel=0.01)
    words = Path("/proc/cpuinfo").read_text().split()
    assert all(feature in words for feature in machine.features())
