import numpy as np
import pytest

from export.common.errors import ExportError
from export.ort.parity import Outputs, measure_parity, require_parity


def _logits(wrong_pixels: int = 0) -> Outputs:
    """100 x 100 pixels, two classes; class 1 wins except in the first `wrong_pixels`."""
    logits = np.zeros((1, 2, 100, 100), np.float32)
    logits[:, 1] = 1e-4
    logits[:, 1].reshape(-1)[:wrong_pixels] = -1e-4
    logits[0, 0, 99, 99] = 0
    logits[0, 1, 99, 99] = 10  # the largest logit
    return {"logits": logits}


def test_figures_are_those_of_the_worst_image() -> None:
    same = (_logits(), _logits())
    moved = _logits()
    moved["logits"][0, 1, 99, 99] += 0.004

    parity = measure_parity([same, (_logits(), moved)])

    assert parity.images == 2
    assert parity.max_abs_diff == pytest.approx(0.004, rel=1e-3)
    assert parity.max_abs_logit == 10
    assert parity.argmax_agreement == 100
    assert parity.problem is None


def test_argmax_limit_is_99_99_percent() -> None:
    # of 10000 pixels one may differ, two may not
    one = measure_parity([(_logits(), _logits(1))])
    two = measure_parity([(_logits(), _logits(2))])

    assert one.argmax_agreement == pytest.approx(99.99)
    assert one.problem is None
    assert two.argmax_agreement == pytest.approx(99.98)
    assert "argmax agreement 99.98" in str(two.problem)


def test_difference_is_limited_relative_to_the_largest_logit() -> None:
    # the largest logit is 10, so 0.01 is the limit
    inside, outside = _logits(), _logits()
    inside["logits"][0, 1, 99, 99] += 0.009
    outside["logits"][0, 1, 99, 99] += 0.011

    assert measure_parity([(_logits(), inside)]).problem is None
    assert "0.011" in str(measure_parity([(_logits(), outside)]).problem)


def test_nan_is_a_problem() -> None:
    broken = _logits()
    broken["logits"][0, 0, 5, 5] = np.nan

    assert measure_parity([(_logits(), broken)]).problem
    assert measure_parity([(_logits(), broken), (_logits(), _logits())]).problem
    assert measure_parity([(_logits(), _logits()), (_logits(), broken)]).problem


def test_masks_alone_are_compared_by_class() -> None:
    left = np.zeros((1, 10, 10), np.uint8)
    right = left.copy()
    right[0, 0, 0] = 3

    parity = measure_parity([({"mask": left}, {"mask": right})])

    assert parity.argmax_agreement == 99
    assert parity.max_abs_diff is None
    assert parity.problem


def test_images_of_different_sizes_count_by_pixels() -> None:
    small, large = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 30, 10), np.uint8)

    parity = measure_parity([({"mask": small}, {"mask": small + 1}), ({"mask": large},) * 2])

    assert parity.argmax_agreement == 75  # 300 of 400


def test_a_broken_limit_is_raised_with_its_name() -> None:
    parity = measure_parity([(_logits(), _logits(5000))])

    with pytest.raises(ExportError, match=r"left against right: argmax agreement 50\.0000 %"):
        require_parity(parity, "left against right")
    require_parity(measure_parity([(_logits(), _logits())]), "left against right")
