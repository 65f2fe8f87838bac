import math

import pytest

from quantize.search.budget import SearchBudget
from quantize.search.decision import ScoreReading, decide, looks

AGREEMENT = SearchBudget("min_agreement", 99.0)
DROP = SearchBudget("max_drop", 0.5)


@pytest.mark.parametrize(
    ("budget", "reading", "expected"),
    [
        # 4 standard errors of 0.1 reach 0.4 to both sides
        (AGREEMENT, ScoreReading(99.5, 0.1, 16, 256), True),
        (AGREEMENT, ScoreReading(99.3, 0.1, 16, 256), None),
        (AGREEMENT, ScoreReading(98.7, 0.1, 16, 256), None),
        (AGREEMENT, ScoreReading(98.5, 0.1, 16, 256), False),
        (DROP, ScoreReading(0.0, 0.1, 16, 256), True),
        (DROP, ScoreReading(0.2, 0.1, 16, 256), None),
        (DROP, ScoreReading(1.0, 0.1, 16, 256), False),
        # on all images the score decides
        (AGREEMENT, ScoreReading(99.0, 0.0, 256, 256), True),
        (AGREEMENT, ScoreReading(98.999, 0.0, 256, 256), False),
        (AGREEMENT, ScoreReading(math.nan, 0.0, 16, 256), False),
    ],
)
def test_decide(budget: SearchBudget, reading: ScoreReading, expected: bool | None) -> None:
    assert decide(reading, budget) is expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1, [1]), (16, [16]), (17, [16, 17]), (256, [16, 32, 64, 128, 256])],
)
def test_looks(total: int, expected: list[int]) -> None:
    assert looks(total) == expected
