import numpy as np
import pytest

from quantize.agreement import agreement_of


def _map(*runs: tuple[int, int]) -> np.ndarray:
    """A class map of one row: (class, pixels) after one another."""
    return np.concatenate([np.full(count, index) for index, count in runs])[None, None]


def test_a_lost_class_is_all_of_the_objects() -> None:
    """Of 100 pixels 8 are of class 3, and all of them are given to the background."""
    found = agreement_of(_map((0, 92), (3, 8)), _map((0, 100)))
    assert (found.pixels, found.objects) == (92, 0)


def test_what_is_invented_counts_as_what_is_lost() -> None:
    """8 pixels in common, 2 lost, 6 invented: 8 of 16."""
    found = agreement_of(_map((0, 90), (3, 10)), _map((0, 84), (3, 14), (0, 2)))
    assert found.pixels == 92
    assert found.objects == pytest.approx(100 * 8 / 16)


def test_the_commonest_class_need_not_be_the_first() -> None:
    found = agreement_of(_map((5, 60), (0, 40)), _map((5, 64), (0, 36)))
    assert found.objects == pytest.approx(100 * 36 / 40)


def test_specks_are_no_objects() -> None:
    found = agreement_of(_map((0, 199), (3, 1)), _map((0, 200)))
    assert (found.pixels, found.objects) == (99.5, None)
