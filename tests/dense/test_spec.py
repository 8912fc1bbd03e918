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
    recall=st.floats(0.01, 1),
    memory=st.integers(0, 10**12),
    dim=st.integers(0, 768),
    parts=st.integers(0, 768),
    nlist=st.integers(0, 5000),
    nprobe=st.integers(0, 5000),
    rescore=st.integers(0, 50),
)


@settings(max_examples=25)
@given(SPECS)
def test_a_spec_comes_back_from_json(spec):
    assert IndexSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


def test_a_spec_of_format_1_is_read():
    old = {"kind": "ivf", "codec": "sq8", "nlist": 4000, "nprobe": 250, "rescore": 5}
    assert IndexSpec.from_dict(old) == IndexSpec(Kind.IVF, Codec.SQ8, nlist=4000, nprobe=250, rescore=5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nlist": -1}, "nlist: expected at least 0, got -1"),
        ({"memory": -5}, "memory: expected at least 0, got -5"),
        ({"recall": 0}, "recall: expected more than 0 and at most 1, got 0"),
        ({"recall": 1.01}, "recall: expected more than 0 and at most 1, got 1.01"),
        ({"nlist": 256, "nprobe": 300}, r"nprobe: expected 1..256 \(nlist\), got 300"),
    ],
)
def test_numbers_out_of_range_are_errors(wrong, message):
    with pytest.raises(ShapeError, match=message):
        IndexSpec(**wrong)
