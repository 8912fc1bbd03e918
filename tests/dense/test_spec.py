import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpdsearch.dense import Codec, IndexSpec, Kind
from hpdsearch.errors import ShapeError

SPECS = st.builds(
    lambda nlist, nprobe, **others: IndexSpec(nlist=nlist, nprobe=min(nprobe, nlist) if nlist else nprobe, **others),
    kind=st.sampled_from(Kind),
    codec=st.sampled_from(Codec),
    ann_recall=st.floats(0.01, 1),
    memory=st.integers(0, 10**12),
    dim=st.integers(0, 768),
    n_subquantizers=st.integers(0, 768),
    nlist=st.integers(0, 5000),
    nprobe=st.integers(0, 5000),
    rescore=st.integers(0, 50),
)


@settings(max_examples=25)
@given(SPECS)
def test_a_spec_survives_json(spec):
    assert IndexSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_the_stored_keys_of_a_spec_are_those_of_the_index_folder():
    spec = IndexSpec(
        Kind.IVF, Codec.PQ, ann_recall=0.9, memory=7, dim=64, n_subquantizers=32, nlist=4, nprobe=3, rescore=2
    )
    stored = {"kind": "ivf", "codec": "pq", "recall": 0.9, "memory": 7, "dim": 64}
    assert spec.as_dict() == stored | {"parts": 32, "nlist": 4, "nprobe": 3, "rescore": 2}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nlist": -1}, "nlist: expected at least 0, got -1"),
        ({"memory": -5}, "memory: expected at least 0, got -5"),
        ({"ann_recall": 0}, "ann_recall: expected more than 0 and at most 1, got 0"),
        ({"ann_recall": 1.01}, "ann_recall: expected more than 0 and at most 1, got 1.01"),
        ({"nlist": 256, "nprobe": 300}, r"nprobe: expected 1..256 \(nlist\), got 300"),
    ],
)
def test_fields_out_of_range_are_errors(wrong, message):
    with pytest.raises(ShapeError, match=message):
        IndexSpec(**wrong)
