import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpdsearch.errors import ShapeError
from hpdsearch.index import Codec, IndexSpec, Kind

SPECS = st.builds(
    lambda kind, codec, nlist, nprobe, rescore: IndexSpec(
        kind, codec, nlist, min(nprobe, nlist) if nlist else nprobe, rescore
    ),
    st.sampled_from(Kind),
    st.sampled_from(Codec),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.integers(1, 50),
)


@pytest.mark.parametrize(
    ("spec", "n", "expected"),
    [
        (IndexSpec(), 1, IndexSpec(Kind.FLAT, Codec.SQ8)),
        (IndexSpec(), 0, IndexSpec(Kind.FLAT, Codec.SQ8)),
        (IndexSpec(), 150_000, IndexSpec(Kind.FLAT, Codec.SQ8)),
        (IndexSpec(), 1_000_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=4000, nprobe=250)),  # 4 sqrt(n); a sixteenth
        (IndexSpec(), 160_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=1600, nprobe=100)),
        (IndexSpec(codec=Codec.F32), 1000, IndexSpec(Kind.FLAT, Codec.F32)),
        (IndexSpec(Kind.FLAT, nlist=9, nprobe=3, rescore=7), 10**7, IndexSpec(Kind.FLAT, Codec.SQ8, rescore=7)),
        (IndexSpec(Kind.IVF), 4_999, IndexSpec(Kind.FLAT, Codec.SQ8)),  # too few for lists
        (IndexSpec(Kind.IVF), 5_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=128, nprobe=16)),  # 39 vectors a list
        (IndexSpec(Kind.IVF), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=256, nprobe=16)),
        (IndexSpec(Kind.IVF, nlist=8), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=8, nprobe=8)),
        (IndexSpec(Kind.IVF, nlist=1), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=1, nprobe=1)),
        (IndexSpec(Kind.IVF, nlist=64, nprobe=5), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=64, nprobe=5)),
        (IndexSpec(Kind.IVF, nprobe=999), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=256, nprobe=256)),
        (IndexSpec(Kind.IVF, nlist=999, nprobe=900), 10_000, IndexSpec(Kind.IVF, Codec.SQ8, nlist=256, nprobe=256)),
    ],
)
def test_what_is_left_open_is_settled_by_the_count_of_vectors(spec, n, expected):
    assert spec.settled(n) == expected


@given(SPECS, st.integers(0, 10**9))
def test_a_settled_spec_leaves_nothing_open(spec, n):
    settled = spec.settled(n)
    assert settled.kind in (Kind.FLAT, Kind.IVF)
    assert settled.codec in (Codec.F32, Codec.SQ8)
    assert settled.codec is spec.codec or spec.codec is Codec.AUTO
    assert settled.rescore == spec.rescore
    assert settled.settled(n) == settled
    if settled.kind is Kind.IVF:
        assert 1 <= settled.nprobe <= settled.nlist <= n / 39
        assert settled.nlist == spec.nlist or settled.nlist == n // 39 or settled.nlist == math.floor(4 * n**0.5)
        assert settled.nprobe in (spec.nprobe, settled.nlist) or not spec.nprobe
    else:
        assert settled.nlist == settled.nprobe == 0
        assert spec.kind is not Kind.IVF or n < 5_000


@given(SPECS)
def test_a_spec_survives_json(spec):
    assert IndexSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"nlist": -1}, "nlist: expected at least 0, got -1"),
        ({"nprobe": -5}, "nprobe: expected at least 0, got -5"),
        ({"rescore": 0}, "rescore: expected at least 1, got 0"),
        ({"nlist": 256, "nprobe": 300}, r"nprobe: expected 1\.\.256 \(nlist\), got 300"),
    ],
)
def test_a_number_out_of_range_is_an_error(numbers, message):
    with pytest.raises(ShapeError, match=f"^{message}$"):
        IndexSpec(**numbers)
