import math

import pytest

from quantize.search.budget import Budget
from quantize.search.decision import Reading, decide, looks

AGREEMENT = Budget("min_agreement", 99.0)
DROP = Budget("max_drop", 0.5)


@pytest.mark.parametrize(
    ("budget", "reading", "expected"),
    [
        # 4 standard errors of 0.1 reach 0.4 to both sides
        (AGREEMENT, Reading(99.5, 0.1, 16, 256), True),
        (AGREEMENT, Reading(99.3, 0.1, 16, 256), None),
        (AGREEMENT, Reading(98.7, 0.1, 16, 256), None),
        (AGREEMENT, Reading(98.5, 0.1, 16, 256), False),
        (DROP, Reading(0.0, 0.1, 16, 256), True),
        (DROP, Reading(0.2, 0.1, 16, 256), None),
        (DROP, Reading(1.0, 0.1, 16, 256), False),
        # on all images the score decides
        (AGREEMENT, Reading(99.0, 0.0, 256, 256), True),
        (AGREEMENT, Reading(98.999, 0.0, 256, 256), False),
        (AGREEMENT, Reading(math.nan, 0.0, 16, 256), False),
    ],
)
def test_decide(budget: Budget, reading: Reading, expected: bool | None) -> None:
    assert decide(reading, budget) is expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1, [1]), (16, [16]), (17, [16, 17]), (256, [16, 32, 64, 128, 256])],
)
def test_looks(total: int, expected: list[int]) -> None:
    assert looks(total) == expected
