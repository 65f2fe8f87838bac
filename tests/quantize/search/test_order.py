import numpy as np

from quantize.search.order import Shares, foreseen
from quantize.search.sensitivity import Sensitivity

EVEN = Shares(dict.fromkeys("abcd", 0.25), dict.fromkeys("abcd", 0.25))


def _sensitivity(own: dict[str, float]) -> Sensitivity:
    """Independent errors, by the letters of the layers that must be in float for them to go."""
    holders = tuple(frozenset("abcd".index(letter) for letter in letters) for letters in own)
    return Sensitivity(tuple((letter,) for letter in "abcd"), holders, np.array(list(own.values())))


def _sets(found: Sensitivity, counted: Shares, least: float) -> list[str]:
    return ["".join(sorted(one.kept_float)) for one in foreseen(found, counted, least)]


def test_what_two_layers_share_goes_only_with_both() -> None:
    found = _sensitivity({"a": 1.0, "ab": 9.0, "c": 4.0, "d": 0.04})
    # squares per quarter of the work: a and b 10 / 2, c 4, d 0.04; b alone nothing
    assert _sets(found, EVEN, 0.1) == ["", "ab", "abc"]
    foreseen_ = foreseen(found, EVEN, 0.1)
    np.testing.assert_allclose([one.loss**2 for one in foreseen_], [14.04, 4.04, 0.04])
    assert [one.work for one in foreseen_] == [0.0, 0.5, 0.75]


def test_so_much_stays_in_int8() -> None:
    found = _sensitivity({"a": 1.0, "ab": 9.0, "c": 4.0, "d": 0.04})
    assert _sets(found, EVEN, 0.5) == ["", "ab"]
    assert _sets(found, EVEN, 0.8) == [""]


def test_cheap_layers_come_before_costly_ones_with_a_larger_error() -> None:
    found = _sensitivity({"a": 3.0, "b": 2.0, "c": 0.1, "d": 0.1})
    costs = {"a": 0.5, "b": 0.1, "c": 0.2, "d": 0.2}
    assert _sets(found, Shares(costs, costs), 0.1)[:3] == ["", "b", "ab"]
