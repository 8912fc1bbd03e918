"""The memory of building an index: what faiss gets at once does not grow with the vectors."""

import importlib
import json
import tracemalloc

import pytest
from vectors import make_ellipsoid, write_vector_file

from hpdsearch.dense import Codec, IndexSpec, Kind, VectorWriter, build_index
from hpdsearch.dense import build as build_module

harness = importlib.import_module("benchmarks.common.harness")

SPECS = {
    "auto": IndexSpec(),
    "flat pq": IndexSpec(Kind.FLAT, Codec.PQ),
    "ivf pq": IndexSpec(Kind.IVF, Codec.PQ, nlist=16),
    "ivf rabitq": IndexSpec(Kind.IVF, Codec.RABITQ, nlist=16),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_arrays_do_not_grow_with_the_vectors(tmp_path, monkeypatch, spec):
    monkeypatch.setattr(build_module, "MINIMUM_SAMPLE", 5_000)
    monkeypatch.setattr(build_module, "ADD_ROWS", 2_000)
    monkeypatch.setattr("hpdsearch.dense.auto.TIMED_ROWS", 5_000)
    monkeypatch.setattr("hpdsearch.dense.tuning.BLOCK_ROWS", 2_000)
    peaks = {}
    for n in (12_000, 60_000):
        file = write_vector_file(tmp_path / f"{n}.f16", make_ellipsoid(n, 64))
        build_index(file, spec, tmp_path / f"{n}.faiss")  # imports and caches
        tracemalloc.start()
        build_index(file, spec, tmp_path / f"{n}.faiss")
        peaks[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[12_000] > 1_000_000  # numpy's arrays are traced
    # Drawing rows takes two integers a row, and a vector of float32 takes 256 bytes.
    assert peaks[60_000] - peaks[12_000] < 24 * 48_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flat pq", "ivf pq"])
def test_memory_of_the_process_grows_by_the_codes(tmp_path, name):
    """Ask the operating system, because tracemalloc does not see what faiss allocates."""
    made = {}
    for n in (80_000, 400_000):
        with VectorWriter(tmp_path / f"{n}.f16", 128) as writer:
            for start in range(0, n, 20_000):
                writer.append(make_ellipsoid(20_000, 128, seed=start))
        task = {"vectors": str(tmp_path / f"{n}.f16"), "n": n, "dim": 128, "index": str(tmp_path / "i.faiss")}
        task["spec"] = IndexSpec(SPECS[name].kind, Codec.PQ, nprobe=4, rescore=2).as_dict()
        command = harness.module_command("scale.child", "build", json.dumps(task))
        made[n] = json.loads(harness.run(command, env=harness.module_environment()).stdout)
    codes = made[400_000]["size_bytes"] - made[80_000]["size_bytes"]
    assert 320_000 * 32 <= codes < 320_000 * 64
    # Lists grow by doubling, so up to half of them may be empty. The float32 vectors would take 164 MB.
    assert made[400_000]["peak_bytes"] - made[80_000]["peak_bytes"] < 2 * codes + 20_000_000
