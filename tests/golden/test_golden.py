"""Nothing changes that was not meant to; `golden.py` says how to record what was."""

import json

import numpy as np
import pytest
from golden import CASES, RECORDS, hash_of, machine, means

RECORDED = json.loads(RECORDS.read_text())
LEVEL = 0.5
"""How far means may be off on other processors, in levels of 8 bit or, if larger, in hundredths of the mean."""


def test_every_case_is_recorded():
    assert RECORDED["means"].keys() == RECORDED["facts"].keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_recorded(name):
    made = CASES[name]()
    expected = RECORDED["means"][name]
    found = means(made)
    assert [len(each) for each in found] == [len(each) for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=LEVEL / 100, atol=LEVEL)
    assert_alike(made.facts, RECORDED["facts"][name])
    known = RECORDED["hashes"].get(machine(), {}).get(name)
    assert known is None or hash_of(made) == known


def assert_alike(found, expected):
    """Compare values of JSON: numbers nearly, all else exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_alike(ours, theirs)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=0.02, abs=0.01)
    else:
        assert found == expected
