"""The choices of `auto`: by the number of vectors, by the measured time of a scan, by the memory limit."""

import math

import numpy as np
import pytest
from vectors import build_segment, make_ellipsoid, write_vector_file

from hpdsearch.dense import Codec, IndexSpec, Kind, auto, build_index
from hpdsearch.dense.faiss_factory import index_bytes
from hpdsearch.errors import ShapeError

FLAT, IVF = Kind.FLAT, Kind.IVF
SAMPLE = make_ellipsoid(4_096, 32)


def build_specs(spec, n, dim=32):
    """Build an index for each spec; return kind, codec, n_subquantizers and nlist of each."""
    found = auto.candidate_specs(spec, n, dim, lambda m: SAMPLE[:m, :dim])
    return [(one.kind, one.codec, one.n_subquantizers, one.nlist) for one in found]


@pytest.mark.parametrize(
    ("spec", "n", "expected"),
    [
        (IndexSpec(), 1, [(FLAT, Codec.SQ8, 0, 0)]),
        (IndexSpec(), 9_999, [(FLAT, Codec.SQ8, 0, 0)]),
        (IndexSpec(), 20_000, [(FLAT, Codec.PQ, 16, 0), (FLAT, Codec.SQ8, 0, 0)]),
        (IndexSpec(kind=IVF), 4_999, [(FLAT, Codec.SQ8, 0, 0)]),  # too few for lists
        (IndexSpec(kind=IVF), 5_000, [(IVF, Codec.SQ8, 0, 128)]),  # 39 vectors a list
        (IndexSpec(kind=IVF), 10**6, [(IVF, Codec.PQ, 16, 2_000), (IVF, Codec.SQ8, 0, 4_000)]),
        (IndexSpec(kind=IVF, codec=Codec.F32, nlist=77), 10**6, [(IVF, Codec.F32, 0, 77)]),
        (IndexSpec(kind=FLAT, nlist=9), 10**9, [(FLAT, Codec.PQ, 16, 0), (FLAT, Codec.SQ8, 0, 0)]),
        (IndexSpec(codec=Codec.RABITQ), 100, [(FLAT, Codec.RABITQ, 0, 0)]),
        (IndexSpec(kind=IVF, codec=Codec.PQ, n_subquantizers=5), 10**6, [(IVF, Codec.PQ, 5, 2_000)]),
        (IndexSpec(kind=FLAT, ann_recall=1), 50_000, [(FLAT, Codec.F32, 0, 0)]),
    ],
)
def test_auto_resolves_open_choices_and_keeps_explicit_ones(spec, n, expected):
    assert build_specs(spec, n) == expected


def test_auto_takes_a_flat_index_while_a_scan_meets_the_latency_target(monkeypatch):
    spec = IndexSpec(codec=Codec.PQ)
    milliseconds = auto.scan_milliseconds(IndexSpec(codec=Codec.PQ), 10**6, SAMPLE)
    assert 0 < milliseconds < 1_000
    assert build_specs(spec, 50_000)[0][0] is FLAT
    assert build_specs(spec, 10**9)[0][0] is IVF
    monkeypatch.setattr(auto, "SCAN_LATENCY_MS", 0)
    assert build_specs(spec, 50_000)[0][0] is IVF


def test_a_memory_limit_makes_pq_smaller_until_it_is_an_error():
    n = 1_000_000
    needs = {parts: index_bytes(IndexSpec(FLAT, Codec.PQ, n_subquantizers=parts), n, 32) for parts in (16, 11, 8)}
    assert needs[16] > needs[11] > needs[8] > n * 4
    spec = IndexSpec(FLAT)
    assert build_specs(spec, n) == [(FLAT, Codec.PQ, 16, 0), (FLAT, Codec.SQ8, 0, 0)]
    for parts, room in needs.items():
        assert build_specs(IndexSpec(FLAT, memory=room), n) == [(FLAT, Codec.PQ, parts, 0)]
    with pytest.raises(
        ShapeError, match=f"memory: expected at least {needs[8]:,} bytes for 1,000,000 vectors .*, got 4,000,000; "
    ):
        build_specs(IndexSpec(FLAT, memory=4_000_000), n)
    with pytest.raises(ShapeError, match=r"memory: expected at least .* bytes for .*, got 9,000,000; "):
        build_specs(IndexSpec(FLAT, Codec.SQ8, memory=9_000_000), n)
    assert build_specs(IndexSpec(FLAT, Codec.PQ, n_subquantizers=8, memory=needs[8]), n) == [(FLAT, Codec.PQ, 8, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FLAT, IVF])
@pytest.mark.parametrize("codec", [Codec.F32, Codec.SQ8, Codec.PQ, Codec.RABITQ])
@pytest.mark.parametrize(("n", "dim"), [(5_000, 8), (6_001, 33)])
def test_estimated_bytes_are_a_close_upper_bound(tmp_path, kind, codec, n, dim):
    spec = IndexSpec(kind, codec, nlist=40 if kind is IVF else 0, nprobe=1, rescore=1)
    built = build_index(write_vector_file(tmp_path / "v", make_ellipsoid(n, dim)), spec, tmp_path / "i")
    foretold = index_bytes(built.spec, n, dim)
    assert built.memory_bytes == built.size_bytes == (tmp_path / "i").stat().st_size <= foretold
    assert foretold < built.size_bytes * 1.15 + 10_000


def test_an_index_stays_within_its_memory_budget(tmp_path):
    vectors = make_ellipsoid(12_000, 32)
    budget = 12_000 * 6 + 20_000
    seg = build_segment(tmp_path, vectors, IndexSpec(memory=budget))
    assert (seg.spec.codec, seg.spec.n_subquantizers) == (Codec.PQ, 11)
    assert seg.memory_bytes <= budget


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (IndexSpec(dim=9), r"dim: expected at most 8 \(the dimensions of the vectors\), got 9"),
        (
            IndexSpec(codec=Codec.PQ, n_subquantizers=9),
            r"n_subquantizers: expected at most 8 \(the dimensions of the vectors\), got 9",
        ),
        (IndexSpec(codec=Codec.PQ, dim=4, n_subquantizers=5), r"n_subquantizers: expected at most 4"),
    ],
)
def test_a_spec_that_does_not_fit_the_vectors_is_an_error(tmp_path, wrong, message):
    with pytest.raises(ShapeError, match=message):
        build_index(write_vector_file(tmp_path / "v", make_ellipsoid(20, 8)), wrong, tmp_path / "i")
    assert not (tmp_path / "i").exists()


def test_nlist_follows_the_square_root_of_the_count():
    for n in (10**5, 10**7):
        assert build_specs(IndexSpec(IVF, Codec.SQ8), n)[0][3] == math.floor(4 * np.sqrt(n))
        assert build_specs(IndexSpec(IVF, Codec.PQ), n)[0][3] == math.floor(2 * np.sqrt(n))
