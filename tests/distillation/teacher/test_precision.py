"""The default precision: the environment variable takes precedence over the measurement."""

import pytest
import torch

from hpdsearch.distillation.teacher import runtime
from hpdsearch.errors import EncoderError


@pytest.fixture(autouse=True)
def forget_measurement():
    runtime.fastest_dtype.cache_clear()
    yield
    runtime.fastest_dtype.cache_clear()


@pytest.mark.parametrize(("value", "dtype"), [("1", torch.bfloat16), ("0", torch.float32)])
def test_the_environment_variable_sets_the_precision(monkeypatch, value, dtype):
    monkeypatch.setenv("HPDSEARCH_BFLOAT16", value)
    monkeypatch.setattr(runtime, "_seconds", lambda *_: pytest.fail("nothing needs to be measured"))
    assert runtime.fastest_dtype("cpu") is dtype


@pytest.mark.parametrize(("seconds", "dtype"), [((4.0, 1.0), torch.bfloat16), ((1.0, 1.0), torch.float32)])
def test_without_the_variable_the_faster_precision_is_chosen(monkeypatch, seconds, dtype):
    monkeypatch.delenv("HPDSEARCH_BFLOAT16", raising=False)
    monkeypatch.setattr(runtime, "_seconds", lambda tokens, _: seconds[tokens.dtype is torch.bfloat16])
    assert runtime.fastest_dtype("cpu") is dtype


def test_any_other_value_is_an_error(monkeypatch):
    monkeypatch.setenv("HPDSEARCH_BFLOAT16", "yes")
    with pytest.raises(EncoderError, match="HPDSEARCH_BFLOAT16: expected 0 or 1, got 'yes'"):
        runtime.fastest_dtype("cpu")
