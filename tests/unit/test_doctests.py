"""The examples in docstrings of what users import."""

import doctest
import importlib

import pytest

MODULES = ["bench.errors", "bench.profile", "bench.spec", "losses", "reports.statistics.stats"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
