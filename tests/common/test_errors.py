"""Optional dependencies: the check, and the one line that says how to install them."""

import sys

import pytest

from hpdsearch.errors import MissingExtraError, require_extra


def test_require_extra_accepts_an_installed_package():
    require_extra("numpy", "click", extra="distill", feature="distill")


def test_the_error_for_a_missing_package_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as error:
        require_extra("numpy", "torch", extra="distill", feature="distill")
    assert str(error.value) == 'distill needs torch: pip install "hpdsearch[distill]"'
    assert isinstance(error.value, ImportError)
