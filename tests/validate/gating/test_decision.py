"""The decision rule by itself, on numbers made by hand."""

import pytest

from validate.gating.baseline.paired import sign_test
from validate.gating.decision import FigureChange, decide
from validate.gating.verdict import Outcome

PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"mIoU": -0.2}, PASS),
        ({"mIoU": -0.21}, FAIL),
        ({"mIoU": 5.0}, PASS),
        ({"mIoU": 0.1, "cat": -0.2}, PASS),
        ({"mIoU": 0.1, "cat": -0.3}, FAIL),  # a mean may hide it
        ({"mIoU": 0.0, "agreement": -0.3}, FAIL),
    ],
)
def test_on_the_same_images_every_change_is_a_fact(
    values: dict[str, float], outcome: Outcome
) -> None:
    changes = [FigureChange(what, value, 0.2) for what, value in values.items()]
    assert decide(changes, same_images=True) is outcome
    # how it spreads over images excuses nothing, and no option does
    wide = decide(changes, (-9.0, 9.0), same_images=True, on_inconclusive="pass")
    assert wide is outcome


@pytest.mark.parametrize(
    ("value", "interval", "outcome"),
    [
        (-1.0, (-1.5, -0.5), FAIL),  # grew beyond the tolerance, and surely grew
        (-1.0, (-2.5, 0.5), UNKNOWN),  # may be none
        (-1.0, (-2.0, 0.0), UNKNOWN),
        (-0.1, (-0.15, -0.05), PASS),  # surely grew, surely within the tolerance
        (-0.1, (-0.3, -0.05), UNKNOWN),
        (-0.1, (-0.2, 0.0), PASS),  # a tolerance may be used up
        (1.0, (-0.1, 2.1), PASS),
        (1.0, (-1.0, 3.0), UNKNOWN),
        (-1.0, None, UNKNOWN),
    ],
)
def test_on_other_images_the_interval_decides(
    value: float, interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    changes = [FigureChange("drop", value, 0.2)]
    assert decide(changes, interval, same_images=False) is outcome
    for chosen, expected in (("pass", PASS), ("fail", FAIL)):
        found = decide(changes, interval, same_images=False, on_inconclusive=chosen)
        assert found is (expected if outcome is UNKNOWN else outcome)


@pytest.mark.parametrize(
    ("worse", "better", "p"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (1, 4, 12 / 32), (3, 3, 1.0), (10, 0, 2 / 1024)],
)
def test_the_sign_test_counts_coins(worse: int, better: int, p: float) -> None:
    assert sign_test(worse, better) == pytest.approx(p)
    assert sign_test(better, worse) == pytest.approx(p)
