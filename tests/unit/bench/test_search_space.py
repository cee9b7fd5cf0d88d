"""Spaces: positions, rounding, scales, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import SpecError
from bench.files import parse
from bench.search_space import Space

SPACES = [
    Space(low=0.0, high=1.0),
    Space(low=0.01, high=80.0, scale="log10"),
    Space(low=0.0, high=0.9999, scale="log10(1 - x)"),
    Space(low=2, high=6, whole=True),
    Space(low=1, high=64, whole=True, scale="log10"),
    Space(choices=("avg", "max", "interp")),
]


@pytest.mark.parametrize("space", SPACES)
@given(position=st.floats(0, 1))
def test_a_value_is_in_the_space_and_stays_itself(space, position):
    """Rounded once, it is not rounded to another."""
    value = space.value(position)
    assert space.holds(value)
    assert space.value(space.position(value)) == value


@pytest.mark.parametrize("space", SPACES[:5])
def test_the_ends_are_values(space):
    """A lambda of 1 is tried as 1, not as 0.9995."""
    assert (space.value(0.0), space.value(1.0)) == space.ends


def test_half_way_between_1_and_a_thousandth_from_1_is_a_thirtieth_from_1():
    """Even steps in log10(1 - x)."""
    space = Space(low=0.0, high=0.999, scale="log10(1 - x)")
    assert space.value(0.5) == pytest.approx(1 - 10**-1.5, abs=1e-4)


def test_a_space_of_whole_numbers_holds_no_other():
    """2.5 images are not tried."""
    assert {Space(low=2, high=6, whole=True).value(i / 100) for i in range(101)} == {2, 3, 4, 5, 6}
    assert not Space(low=2, high=6, whole=True).holds(2.5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"low": 1.0, "high": 0.0}, "low = 1 must be below high = 0"),
        ({"low": 0.0, "high": 1.0, "scale": "log10"}, "needs low above 0, got 0"),
        ({"low": 0.0, "high": 1.0, "scale": "log10(1 - x)"}, "needs high below 1, got 1"),
        ({"low": 0.0}, "needs low and high, or a list of choices"),
        ({"choices": ["avg"]}, "two values or more"),
        ({"choices": ["avg", "max"], "low": 0.0}, "either low and high, or a list"),
        ({"low": 0.0, "high": 1.0, "first": [0.5, 1.5]}, "first holds 1.5, outside 0 to 1"),
        ({"low": 0.0, "hihg": 1.0}, "unknown key 'hihg'; did you mean 'high'"),
    ],
)
def test_what_is_no_space_is_refused(raw, message):
    """In one line."""
    with pytest.raises(SpecError) as refusal:
        parse(Space, raw, where="study.toml")
    assert message in str(refusal.value)
